import json
import os
import shutil
import socket
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from helpers.fake_wandb import API_KEY, FakeWandb
from helpers.tiny import TINY_RUN, compose

from cfa_lab.errors import UserError
from cfa_lab.records.history import HISTORY_COLUMNS, write_history
from cfa_lab.records.predictions import write_predictions
from cfa_lab.tracking import WandbTracker, sync

pytestmark = [
    pytest.mark.usefixtures("pristine_wandb"),
    # wandb's own thread, once its helper has been killed for a server that does not answer
    pytest.mark.filterwarnings("ignore:Exception in thread wandb-ServiceFinalizer"),
]


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
    assert "outputs/torn" in damaged and "its log is damaged" in damaged
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


def results(server: FakeWandb) -> list[tuple[int, int, float]]:
    """Line, step and loss of the one run that arrived."""
    (run,) = server.runs.values()
    return [
        (line, row["step"], row["train/loss"])
        for line, row in sorted(run.history.items())
        if "train/loss" in row
    ]


def write_folder(folder: Path, outcome, *, steps: int, **values) -> WandbTracker:
    """A run folder with its history and model; returns the tracker that makes W&B's part."""
    folder.mkdir(exist_ok=True)
    rows = [
        dict.fromkeys(HISTORY_COLUMNS, 0.5) | {"epoch": i // 2, "step": i} for i in range(steps)
    ]
    write_history(folder, rows)
    (folder / "model.safetensors").write_bytes(b"weights")
    arguments = {
        "config": {"folder": str(folder.absolute())},
        **{"project": "cfa-lab", "entity": None, "group": None, "job_type": "train"},
        **{"name": "run", "tags": [], "mode": "offline", "images": True, "model": True},
        "resume_id": None,
    }
    return WandbTracker(folder, **arguments | values)


def test_a_folder_that_was_moved_arrives_with_its_model_and_tables(
    server: FakeWandb, outcome, tmp_path: Path, capsys
):
    made = tmp_path / "made"
    with write_folder(made, outcome, steps=2) as run:
        run.finish(replace(outcome, model=[made / "model.safetensors"]))
    (made / "metrics.json").write_text("{}")
    moved = tmp_path / "outputs" / "moved"
    moved.parent.mkdir()
    made.rename(moved)
    sync.main([])
    assert ": uploaded" in capsys.readouterr().out
    assert server.stored["model.safetensors"] == b"weights"
    (arrived,) = server.runs.values()
    assert {"run", "predictions", "panels"} <= {name.split("-")[-1] for name in arrived.artifacts}
    assert len(results(server)) == 2, "history.csv has what nobody logged"
    assert arrived.summary["test/image_auroc"] == 0.75
    assert not list(moved.glob("wandb/.sync-*"))


def test_what_is_gone_is_named_and_the_run_not_marked(
    server: FakeWandb, outcome, tmp_path: Path, capsys
):
    folder = tmp_path / "outputs" / "0"
    folder.parent.mkdir()
    with write_folder(folder, outcome, steps=1) as run:
        run.finish(replace(outcome, model=[folder / "model.safetensors"]))
    (folder / "model.safetensors").unlink()
    (folder / "metrics.json").write_text("{}")
    with pytest.raises(UserError, match="1 of 1 runs"):
        sync.main([])
    assert "uploaded all but run, whose files are gone" in capsys.readouterr().out
    assert not sync.is_synced(log_of(folder).parent)
    assert len(results(server)) == 1


@pytest.mark.parametrize("kept", [7, 1000, 2500])
def test_torn_parts_of_a_resumed_run_arrive_as_one_whole_run(
    server: FakeWandb, outcome, tmp_path: Path, kept: int
):
    folder = tmp_path / "outputs" / "0"
    folder.parent.mkdir()
    run_id = "0123456789abcdef"
    with write_folder(folder, outcome, steps=0, resume_id=run_id) as run:
        for step in range(4):
            run.log_step({"epoch": step // 2, "step": step, "train/loss": 0.5})
    first = log_of(folder)
    first.write_bytes(first.read_bytes()[:kept])
    first.parent.rename(first.parent.with_name(f"offline-run-20260101_000000-{run_id}"))
    with write_folder(folder, outcome, steps=6, resume_id=run_id) as run:
        for step in range(2, 6):
            run.log_step({"epoch": step // 2, "step": step, "train/loss": 0.5})
        run.log_evaluation(2, {"test/image_auroc": 0.5})
    (folder / "metrics.json").write_text(json.dumps({"status": "complete", "metrics": {"a": 1.0}}))
    sync.main([])
    assert results(server) == [(step, step, 0.5) for step in range(6)]
    assert server.runs[run_id].exit_code == 0
    assert server.runs[run_id].summary["a"] == 1.0
    assert all(sync.is_synced(part) for part in folder.glob("wandb/offline-run-*"))


def test_an_online_run_that_was_cut_off_is_sent_from_its_folder(
    server: FakeWandb, outcome, tmp_path: Path, capsys
):
    folder = tmp_path / "outputs" / "0"
    folder.parent.mkdir()
    run = write_folder(folder, outcome, steps=5, mode="online", finish_timeout=2.0)
    run.__enter__()
    run.log_step({"epoch": 0, "step": 0, "train/loss": 0.5})
    server.fault = "hang"
    run.finish(outcome)
    run.__exit__(None, None, None)
    write_predictions(folder, outcome.predictions)
    settings = asdict(compose(*TINY_RUN, "tracker=wandb"))
    record = {"status": "complete", "config": settings, "metrics": {"test/image_auroc": 0.75}}
    (folder / "metrics.json").write_text(json.dumps(record))
    server.fault = ""
    sync.main([])
    assert ": uploaded" in capsys.readouterr().out
    assert results(server) == [(step, step, 0.5) for step in range(5)]
    (arrived,) = server.runs.values()
    assert {"s0", "predictions"} <= {name.split("-")[-1] for name in arrived.artifacts}
    assert server.stored["model.safetensors"] == b"weights"
    sync.main([])
    assert "0 offline runs" in capsys.readouterr().out
