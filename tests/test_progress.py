"""What is shown of work on its way, and what is estimated from it."""

import logging
import sys
import time

import pytest

from cfa_lab.progress import ConsoleHandler, Phase, displays, each, phase, show_progress, shown


class Clock:
    """Time that passes when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_an_estimate_leaves_out_the_first_unit_which_loads_and_compiles(clock: Clock):
    shown = Phase("training", 101, "steps")
    clock.now += 60  # of a first step that compiles
    shown.advance()
    assert shown.seconds_left is None
    clock.now += 0.9
    shown.advance(9)
    assert shown.seconds_left is None, "too soon to mean something"
    clock.now += 1.1
    shown.advance(11)
    assert shown.seconds_left == pytest.approx(2.0 / 20 * 80)
    shown.reach(101)
    assert shown.seconds_left is None


def test_a_phase_inside_takes_no_time_from_the_one_around(clock: Clock):
    with phase("training", 10, "steps") as outer:
        clock.now += 1
        outer.advance()
        with phase("compiling") as inner:
            clock.now += 30
            assert outer.seconds == 1
        assert inner.seconds == 30
        for _ in range(4):
            clock.now += 1
            outer.advance()
        assert outer.seconds == 5
        assert outer.seconds_left == pytest.approx(5)


def test_units_done_before_do_not_make_it_look_fast(clock: Clock):
    shown = Phase("scoring", 1000, "images")
    clock.now += 1
    shown.advance()
    for _ in range(4):
        shown.skip(100)
        clock.now += 1
        shown.advance()
    assert shown.done == 405
    assert shown.per_second == pytest.approx(1.0)
    assert shown.seconds_left == pytest.approx(595)
    gone_on = Phase("training", 30, "steps", done=20)
    clock.now += 2
    gone_on.advance(2)
    assert gone_on.per_second == pytest.approx(1.0)


def test_text_holds_count_rate_and_time(clock: Clock):
    shown = Phase("features", 40, "images")
    assert str(shown) == "features  0/40 images  0.0 s"
    for _ in range(10):
        clock.now += 0.5
        shown.advance()
    assert str(shown) == "features  10/40 images  2/s  5.0 s, 15 s left"
    assert shown.finished() == "features: 10 images, 5.0 s (2/s)"


def test_each_counts_and_ends_with_the_last_one_whoever_asks_for_more():
    items = each(iter("abc"), "reading", 3)
    assert [next(items), next(items), next(items)] == ["a", "b", "c"]
    (inner,) = shown._phases
    assert inner.done == 2
    items.close()
    assert inner.done == 3
    assert shown._phases == []
    assert list(each([], "reading", 0)) == []


def test_nothing_is_shown_unless_somebody_asks(capsys: pytest.CaptureFixture[str]):
    with phase("training", 2) as shown:
        shown.advance(2)
    assert capsys.readouterr() == ("", "")


def test_an_error_ends_the_phase_without_a_word(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(displays, "WORTH_A_LINE", 0)
    with pytest.raises(OSError, match="disk"), show_progress(live=False), phase("figures"):
        raise OSError("disk")
    assert shown._phases == []
    assert shown._display is None
    assert capsys.readouterr().err == ""


def test_without_a_terminal_a_long_phase_is_heard_of_and_what_took_long_leaves_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(displays, "QUIET_SECONDS", 0.02)
    monkeypatch.setattr(displays, "WORTH_A_LINE", 0.05)
    monkeypatch.setattr(displays.Display, "seconds_between_looks", 0.01)
    with show_progress(live=False, label="3-weave"):
        with phase("reading"):
            pass  # takes no time, so it is not worth a line
        with phase("scoring", 4, "images") as shown:
            for _ in range(4):
                time.sleep(0.05)
                shown.advance()
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("3-weave: scoring") for line in lines)
    assert any("/4 images" in line for line in lines[:-1])
    assert lines[-1].startswith("3-weave: scoring: 4 images, 0.2 s")


def test_the_live_line_moves_and_log_lines_stand_above_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    log = logging.getLogger("cfa_lab.tests")
    handler = ConsoleHandler()
    log.addHandler(handler)
    long = "word " * 60
    try:
        with show_progress(), phase("training", 100, "steps") as shown:
            time.sleep(0.6)
            shown.reach(7, state="loss 3")
            time.sleep(0.6)
            log.warning("[red]%s", long)
    finally:
        log.removeHandler(handler)
    seen = capsys.readouterr().err
    assert seen.count("training") >= 4, "drawn again and again"
    assert "7/100 steps  loss 3" in seen
    assert f"[red]{long.strip()}" in seen, "a line stays one line, and brackets are no markup"
