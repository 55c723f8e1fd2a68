"""How a run goes on: only from what can be relied on, and to the numbers of an undisturbed one."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cfa_lab.config import Config
from cfa_lab.errors import UserError
from cfa_lab.run import run as run_module
from cfa_lab.run.run import run
from cfa_lab.training.state import Fit

Configure = Callable[..., Config]
SETTINGS = ("evaluation.every=1", "trainer.epochs=4")


def results(folder: Path) -> dict[str, bytes]:
    names = ("history.csv", "evaluations.csv", "predictions.csv")
    found = {name: (folder / name).read_bytes() for name in names}
    record = (folder / "metrics.json").read_text()
    return found | {"oracle": record[record.index('"oracle"') : record.index('"timing"')].encode()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny_root: Path) -> dict[str, bytes]:
    from helpers.tiny import TINY_RUN, compose

    folder = tmp_path_factory.mktemp("whole")
    run(compose(*TINY_RUN, *SETTINGS, f"dataset.root={tiny_root}"), folder)
    return results(folder)


def interrupted(config: Config, folder: Path, monkeypatch) -> None:
    """Leave a run whose state is after its second epoch, and whose files are one epoch ahead."""
    save = run_module.checkpoint.save_state

    def stop(folder: Path, fit: Fit, *, fit_key: str) -> None:
        if fit.next_epoch == 3:
            raise KeyboardInterrupt
        save(folder, fit, fit_key=fit_key)

    with monkeypatch.context() as patch:
        patch.setattr("cfa_lab.run.watch.SECONDS_BETWEEN_STATES", 0)
        patch.setattr(run_module.checkpoint, "save_state", stop)
        with pytest.raises(KeyboardInterrupt):
            run(config, folder)


def lines(change: Callable[[list[str]], list[str]]) -> Callable[[Path], object]:
    return lambda path: path.write_text("".join(change(path.read_text().splitlines(True))))


@pytest.mark.parametrize(
    ("name", "damage", "anew"),
    [
        ("history.csv", lambda path: None, False),
        ("history.csv", lines(lambda rows: rows[:3] + rows[2:]), True),
        ("history.csv", lines(lambda rows: rows[:3] + rows[4:]), True),
        ("history.csv", lines(lambda rows: rows[:4]), True),
        ("history.csv", lines(lambda rows: [*rows[:-1], rows[-1][:7]]), False),
        ("history.csv", lambda path: path.write_text(""), True),
        ("history.csv", lambda path: path.unlink(), True),
        ("history.csv", lambda path: path.write_bytes(b"\xff\xfe\x00"), True),
        ("evaluations.csv", lines(lambda rows: rows[:2] + rows[1:]), True),
        ("evaluations.csv", lines(lambda rows: rows[:1] + rows[2:]), True),
        ("evaluations.csv", lambda path: path.write_text(""), True),
        ("evaluations.csv", lambda path: path.unlink(), True),
        ("evaluations.csv", lambda path: path.write_text("epoch\nx\n"), True),
        ("state.safetensors", lambda path: path.write_bytes(path.read_bytes()[:-1]), True),
        ("state.safetensors", lambda path: path.write_text(""), True),
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_a_run_goes_on_from_what_is_whole_and_else_anew(
    whole, tiny_config: Configure, tmp_path: Path, monkeypatch, caplog, name, damage, anew, named
):
    folder = tmp_path / "run"
    interrupted(tiny_config(*SETTINGS), folder, monkeypatch)
    damage(folder / name)
    run(tiny_config(*SETTINGS, *([f"resume='{folder}'"] if named else [])), folder)
    assert results(folder) == whole
    assert ("starting anew" in caplog.text) == anew


def test_the_record_comes_before_anybody_else_is_told(
    tiny_config: Configure, tmp_path: Path, monkeypatch
):
    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cfa_lab.tracking.Trackers.finish", cut_off)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_config(), tmp_path)
    assert '"status": "complete"' in (tmp_path / "metrics.json").read_text()
    assert not (tmp_path / "state.safetensors").exists()


def test_settings_stand_before_anything_that_needs_them(tiny_config: Configure, tmp_path: Path):
    seen: list[list[str]] = []
    run(
        tiny_config(),
        tmp_path / "run",
        on_begin=lambda: seen.append([path.name for path in (tmp_path / "run").iterdir()]),
    )
    assert seen == [[]]


def test_a_tracker_that_cannot_open_leaves_nothing_but_why(
    tiny_config: Configure, tmp_path: Path, monkeypatch
):
    def refuse(*_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("cfa_lab.tracking.HistoryFile.__enter__", refuse)
    folder = tmp_path / "run"
    with pytest.raises(RuntimeError):
        run(tiny_config(), folder, on_begin=lambda: (folder / ".hydra").mkdir())
    assert [path.name for path in folder.iterdir()] == ["run.log"]
    assert (folder / "run.log").read_text().endswith("ERROR the run ended: no\n")


@pytest.mark.parametrize("at", ["_train", "diagnose"])
def test_a_folder_deleted_on_the_way_is_no_complete_run_and_is_taken_again(
    tiny_config: Configure, tmp_path: Path, whole: dict[str, bytes], monkeypatch, at: str
):
    """What is written later makes the folder again, without what was written before."""
    config, folder = tiny_config(*SETTINGS), tmp_path / "run"
    body = getattr(run_module, at)

    def deleting(*arguments: object, **named: object) -> object:
        found = body(*arguments, **named)
        shutil.rmtree(folder)
        folder.mkdir()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(run_module, at, deleting)
        with pytest.raises(UserError, match=r"was deleted or moved while.*history\.csv.* gone"):
            run(config, folder)
    assert not (folder / "metrics.json").exists()
    run(config, folder)
    assert results(folder) == whole
