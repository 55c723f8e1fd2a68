import json
import os
import shutil
import socket
import time
from pathlib import Path

import pytest
from helpers.fake_wandb import API_KEY, FakeWandb

from cfa_lab.errors import UserError
from cfa_lab.tracking import WandbTracker, sync

pytestmark = pytest.mark.usefixtures("pristine_wandb")


@pytest.fixture(scope="module")
def offline_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run that W&B was not told of."""
    folder = tmp_path_factory.mktemp("made") / "run"
    with WandbTracker(
        folder,
        config={"K": 3},
        project="cfa-lab",
        entity=None,
        group="study",
        job_type="train",
        name="run",
        tags=[],
        mode="offline",
        images=False,
        model=False,
        resume_id=None,
    ) as run:
        run.log_step({"epoch": 0, "step": 0, "train/loss": 0.5})
    (folder / "metrics.json").write_text(json.dumps({"status": "complete"}))
    return folder


def log_of(folder: Path) -> Path:
    (log,) = folder.glob("wandb/offline-run-*/*.wandb")
    return log


def test_everything_below_is_uploaded_once(
    offline_run: Path, server: FakeWandb, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.setenv("WANDB_MODE", "offline")  # how the runs were made must not matter
    shutil.copytree(offline_run, tmp_path / "multirun" / "study" / "0")
    sync.main([])
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "1 offline runs: 1 to upload, 0 uploaded before, 0 still going on"
    assert said[1].endswith(": uploaded")
    (arrived,) = server.runs.values()
    assert (arrived.history[0]["train/loss"], arrived.exit_code) == (0.5, 0)
    assert arrived.details["groupName"] == "study"

    before = server.operations["requests"]
    sync.main(["multirun"])
    assert "0 to upload, 1 uploaded before" in capsys.readouterr().out
    assert server.operations["requests"] == before, "nothing to do needs no server"


def test_a_run_that_cannot_be_read_is_named_and_the_others_arrive(
    offline_run: Path, server: FakeWandb, tmp_path: Path, capsys
):
    shutil.copytree(offline_run, tmp_path / "outputs" / "fine")
    torn = tmp_path / "outputs" / "torn"
    part = torn / "wandb" / "offline-run-20260101_000000-0123456789abcdef"
    part.mkdir(parents=True)
    (torn / "metrics.json").write_text("{}")
    (part / "run-0123456789abcdef.wandb").write_bytes(b"no log of wandb")
    with pytest.raises(UserError, match="1 of 2 runs could not be uploaded"):
        sync.main(["outputs"])
    _, fine, damaged = capsys.readouterr().out.splitlines()
    assert "outputs/fine" in fine and fine.endswith(": uploaded")
    assert "outputs/torn" in damaged and "bad header" in damaged
    assert len(server.runs) == 1


def test_a_run_that_goes_on_is_left_until_it_has_ended(
    offline_run: Path, server: FakeWandb, tmp_path: Path, capsys
):
    folder = shutil.copytree(offline_run, tmp_path / "outputs" / "0")
    (folder / "metrics.json").unlink()
    log_of(folder).touch()
    sync.main([])
    assert "0 to upload, 0 uploaded before, 1 still going on" in capsys.readouterr().out
    killed = time.time() - 2 * sync.QUIET_SECONDS
    os.utime(log_of(folder), (killed, killed))
    sync.main(["--dry-run", str(log_of(folder).parent)])
    said = capsys.readouterr().out.splitlines()
    assert said[1:] == [str(log_of(folder).parent)]
    assert not server.operations


def test_the_parts_of_a_resumed_run_arrive_as_one_run(
    offline_run: Path, server: FakeWandb, tmp_path: Path, capsys
):
    folder = shutil.copytree(offline_run, tmp_path / "outputs" / "0")
    first = log_of(folder).parent
    stamp, run_id = first.name.removeprefix("offline-run-").split("-")
    later = f"offline-run-{int(stamp[:8]) + 1}{stamp[8:]}-{run_id}"
    shutil.copytree(first, first.with_name(later))
    sync.main([])
    assert capsys.readouterr().out.count(": uploaded") == 2
    assert list(server.runs) == [run_id]


def test_without_runs_there_is_nothing_to_do_nor_to_ask(tmp_path: Path, capsys):
    sync.main([])
    assert capsys.readouterr().out.startswith("0 offline runs")


def test_mistakes_are_one_line(offline_run: Path, tmp_path: Path, monkeypatch):
    with pytest.raises(UserError, match="nowhere is no folder"):
        sync.main(["nowhere"])
    run = str(shutil.copytree(offline_run, tmp_path / "run"))
    with pytest.raises(UserError, match=r"no W&B API key .*wandb login"):
        sync.main([run])
    monkeypatch.setenv("WANDB_API_KEY", API_KEY)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(UserError, match="W&B cannot be reached"):
            sync.main([run])
