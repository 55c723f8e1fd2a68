"""What a person at a terminal sees, recorded under a pseudo-terminal."""

import os
import re
import sys
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")

MOST_SECONDS = 2.0
"""Without a line that moves."""
FEW_SECONDS = 60.0
"""A machine that is done by then has no phase whose estimate at half time would mean anything."""
OFF = 0.3
"""Share by which an estimate at half time may be wrong."""
LINE = re.compile(
    r"(?P<name>[a-z][\w ,]*?)  (?P<done>\d+)/(?P<total>\d+) .*?, (?P<left>[\d.]+) s left"
)


@dataclass
class Session:
    """What a command wrote to its terminal, and when."""

    code: int = 0
    seconds: float = 0.0
    pieces: list[tuple[float, str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(piece for _, piece in self.pieces)

    @property
    def longest_silence(self) -> float:
        times = [0.0, *(moment for moment, _ in self.pieces), self.seconds]
        return max(b - a for a, b in pairwise(times))

    def shown(self) -> list[tuple[float, str]]:
        """Every line as it was drawn, without colours and movements of the cursor."""
        return [
            (moment, line.strip())
            for moment, piece in self.pieces
            for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", piece))
            if line.strip()
        ]


def session(*arguments: str, cwd: Path, cache: Path) -> Session:
    """Run the command line under a pseudo-terminal, 110 columns wide."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.environ.update(COLUMNS="110", CFA_LAB_CACHE=str(cache), TERM="xterm")
        os.execv(sys.executable, [sys.executable, "-m", "cfa_lab", *arguments])
    seen, began = Session(), time.monotonic()
    while True:
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:  # how Linux tells that the other end is closed
            break
        if not piece:
            break
        seen.pieces.append((time.monotonic() - began, piece.decode(errors="replace")))
    seen.seconds = time.monotonic() - began
    seen.code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    return seen


def halfway(seen: Session) -> dict[str, tuple[float, float]]:
    """Phases of 4 s and more that no other one interrupts: estimate at half time, and truth."""
    phases: list[tuple[str, list[tuple[float, float]]]] = []
    for moment, line in seen.shown():
        if (match := re.search(r"([a-z][\w ,]*?)  ", line)) is None or " " not in line:
            continue
        if not phases or phases[-1][0] != match[1]:
            phases.append((match[1], []))
        left = LINE.search(line)
        phases[-1][1].append((moment, float(left["left"]) if left else float("nan")))
    found = {}
    for name, moments in phases:
        began, ended = moments[0][0], moments[-1][0]
        if ended - began >= 4:
            half = min(moments, key=lambda pair: abs(pair[0] - (began + ended) / 2))
            if half[1] == half[1]:
                found[name] = (half[1], ended - half[0])
    return found


def wrong(estimates: dict[str, tuple[float, float]]) -> list[str]:
    """The phases whose estimate at half time was not `OFF` or half a second from the truth."""
    return [
        name
        for name, (estimate, truth) in estimates.items()
        if estimate != pytest.approx(truth, rel=OFF, abs=0.5)
    ]


def keeps(seen: Session) -> bool:
    """Whether a line always moved, and estimates at half time were right."""
    return seen.longest_silence < MOST_SECONDS and not wrong(halfway(seen))


@pytest.mark.slow
def test_a_terminal_always_shows_a_line_that_moves(tmp_path: Path):
    command = ("experiment=quickstart", "tracker=none")
    seen = session(*command, cwd=tmp_path, cache=tmp_path / "features")
    assert seen.code == 0, seen.text
    for name in ("starting", "features  ", "memory bank  ", "training  ", "scoring  ", "figures"):
        assert name in seen.text
    # Both hold of a machine that goes on as it began and has time for this process: three tries.
    tries = [seen]
    while not keeps(tries[-1]) and len(tries) < 3:
        again = tmp_path / f"again{len(tries)}"
        again.mkdir()
        tries.append(session(*command, cwd=again, cache=again / "cache"))
    last, estimates = tries[-1], halfway(tries[-1])
    assert last.longest_silence < MOST_SECONDS
    assert not wrong(estimates), estimates
    assert estimates or last.seconds < FEW_SECONDS, "no phase was long enough to be judged"
    assert "24 training images, 36 test images (good 12, " in seen.text
    (day,) = (tmp_path / "outputs").glob("2*")
    (folder,) = day.iterdir()
    assert (tmp_path / "outputs" / "latest").resolve() == folder.resolve()
    log = (folder / "run.log").read_text()
    assert "24 training images, 36 test images" in log
    assert "solved: attraction" in log
