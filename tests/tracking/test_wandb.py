import json
import logging
import os
import re
import socket
import subprocess
import sys
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.fake_wandb import API_KEY, FakeWandb
from hypothesis import given
from hypothesis import strategies as st

from cfa_lab.errors import UserError
from cfa_lab.tracking import Curve, WandbTracker, latest_run_id
from cfa_lab.tracking.wandb import legal_name
from cfa_lab.tracking.wandb_session import UNSENT
from cfa_lab.tracking.wandb_tables import points_along

pytestmark = [
    pytest.mark.usefixtures("pristine_wandb"),
    # wandb's own thread, once its helper has been killed for a server that does not answer
    pytest.mark.filterwarnings("ignore:Exception in thread wandb-ServiceFinalizer"),
]


def tracker(folder: Path, **changes: Any) -> WandbTracker:
    arguments: dict[str, Any] = {
        "config": {"loss": {"K": 3}, "category": "bottle"},
        "project": "cfa-lab",
        "entity": None,
        "group": "study",
        "job_type": "train",
        "name": "resnet18-bottle-s0",
        "tags": ["toy"],
        "mode": "auto",
        "images": True,
        "model": True,
        "resume_id": None,
    }
    return WandbTracker(folder, **arguments | changes)


def log_steps(run: WandbTracker, num_steps: int) -> None:
    for step in range(num_steps):
        run.log_step({"epoch": step // 2, "step": step, "train/loss": 1 / (step + 1)})


def our_messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name.startswith("cfa_lab")]


def inspect(folder: Path, *options: str) -> list[dict[str, Any]]:
    """What `wandb` itself reads from the one offline run below a folder."""
    (record,) = folder.glob("wandb/offline-run-*/*.wandb")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", *options, str(record)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [json.loads(answer)] if options else [json.loads(line) for line in answer.splitlines()]


def test_without_a_key_a_run_is_complete_offline_and_silent(
    tmp_path, outcome, caplog, capfd, pristine_wandb
):
    caplog.set_level(logging.INFO, logger="cfa_lab")
    before = dict(os.environ)
    with tracker(tmp_path / "run") as run:
        log_steps(run, 4)
        run.log_evaluation(1, {"test/image_auroc": 0.5, "test/pixel_ap": None})
        run.finish(outcome)
    (message,) = our_messages(caplog)
    assert f"cfa_lab sync {tmp_path / 'run'}" in message
    assert capfd.readouterr() == ("", "")
    assert dict(os.environ) == before
    assert list(pristine_wandb.iterdir()) == [], "something was written outside the run folder"

    (summary,) = inspect(tmp_path / "run", "--summary")
    assert (summary["state"], summary["exit_code"]) == ("finished", 0)
    assert (summary["run_id"], summary["project"]) == (run.run_id, "cfa-lab")
    assert (summary["name"], summary["tags"]) == ("resnet18-bottle-s0", ["toy"])
    assert summary["config"] == {"loss": {"K": 3}, "category": "bottle"}
    final = summary["summary"]
    assert {key: value for key, value in final.items() if key[0] != "_" and "/" in key} == {
        "train/loss": 0.25,
        "test/image_auroc": 0.75,
        "oracle/image_f1": 0.5,
        "time/fit_seconds": 1.5,
        "diagnostics/bank_used_ratio": 0.5,
    }
    assert (final["predictions"]["nrows"], final["panels"]["nrows"]) == (2, 2)
    assert final["image_roc_table"]["nrows"] <= 500

    rows = [record["history"] for record in inspect(tmp_path / "run") if "history" in record]
    steps = [row["item"] for row in rows if "train/loss" in row["item"]]
    assert [(row["epoch"], row["step"]) for row in steps] == [(0, 0), (0, 1), (1, 2), (1, 3)]


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def pictures_below(folder: Path) -> list[Path]:
    beginnings = (b"\x89PNG", b"\xff\xd8\xff")  # PNG, JPEG
    return [path for path in files_below(folder) if path.read_bytes().startswith(beginnings)]


def test_pictures_carry_the_ground_truth_as_a_mask_to_switch_on(tmp_path, outcome):
    with tracker(tmp_path) as run:
        run.finish(outcome)
    assert len(pictures_below(tmp_path)) == 2 * 3 + 1
    staged = [path.read_bytes() for path in tmp_path.glob("wandb/artifacts/staging/*")]
    assert any(b'"ground truth"' in content for content in staged)
    (panels,) = tmp_path.glob("wandb/offline-run-*/files/media/table/panels*.json")
    table = json.loads(panels.read_text())
    assert table["columns"][:5] == ["path", "label", "defect", "score", "group"]
    assert table["columns"][5:] == ["image", "heat map", "overlay"]
    assert table["data"][0][:5] == ["bottle/test/broken/0.png", 1, "broken", 0.25, "miss"]


def test_images_false_keeps_every_picture_off(tmp_path, outcome):
    with tracker(tmp_path, images=False) as run:
        run.finish(outcome)
    (summary,) = inspect(tmp_path, "--summary")
    assert "panels" not in summary["summary"]
    assert summary["summary"]["predictions"]["nrows"] == 2
    assert pictures_below(tmp_path) == []


def test_with_a_key_steps_summary_and_tables_reach_the_server(server, tmp_path, outcome, capfd):
    with tracker(tmp_path) as run:
        log_steps(run, 4)
        run.finish(outcome)
    assert capfd.readouterr() == ("", "")
    (run_id,) = server.runs
    arrived = server.runs[run_id]
    assert (run_id, arrived.exit_code) == (run.run_id, 0)
    assert [arrived.history[n]["train/loss"] for n in range(4)] == [1, 1 / 2, 1 / 3, 1 / 4]
    assert [arrived.history[n]["step"] for n in range(4)] == [0, 1, 2, 3]
    assert arrived.summary["test/image_auroc"] == 0.75
    assert "test/pixel_auroc" not in arrived.summary
    assert arrived.config["loss"]["value"] == {"K": 3}
    details = arrived.details
    assert (details["groupName"], details["jobType"]) == ("study", "train")
    assert (details["displayName"], details["tags"]) == ("resnet18-bottle-s0", ["toy"])
    names = {name.removeprefix(f"run-{run_id}-") for name in arrived.artifacts}
    assert names == {"predictions", "panels", "image_roc_table"}
    assert not any(name.endswith((".py", ".patch")) for name in arrived.files)
    assert not (tmp_path / "wandb" / "artifacts").exists(), "uploaded files are kept twice"
    assert not server.stored


@pytest.mark.parametrize("wanted", [True, False])
def test_the_fitted_detector_is_an_artifact_without_a_copy(server, tmp_path, outcome, wanted):
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"weights")
    with tracker(tmp_path, name="hf/net-bottle-s0", model=wanted) as run:
        run.finish(replace(outcome, model=[model]))
    names = server.runs[run.run_id].artifacts
    assert ("hf-net-bottle-s0" in names, "model.safetensors" in server.stored) == (wanted, wanted)
    assert [path for path in files_below(tmp_path) if path.read_bytes() == b"weights"] == [model]
    if wanted:
        assert server.stored["model.safetensors"] == b"weights"
        (entry,) = json.loads(server.stored["manifest"])["contents"].values()
        assert entry["local_path"] == str(model)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failing_body_shows_as_failed_and_the_next_run_is_another_one(server, tmp_path, error):
    with pytest.raises(error), tracker(tmp_path / "one", config={"seed": 1}) as failed:
        log_steps(failed, 1)
        raise error
    with tracker(tmp_path / "two", config={"seed": 2}) as fine:
        pass
    assert failed.run_id and fine.run_id and failed.run_id != fine.run_id
    assert [server.runs[run.run_id].exit_code for run in (failed, fine)] == [1, 0]
    seeds = [server.runs[run.run_id].config["seed"]["value"] for run in (failed, fine)]
    assert seeds == [1, 2]


def test_a_resumed_run_keeps_its_id(server, tmp_path):
    assert latest_run_id(tmp_path) is None
    with pytest.raises(OSError, match="cable"), tracker(tmp_path) as first:
        log_steps(first, 2)
        raise OSError("cable")
    assert latest_run_id(tmp_path) == first.run_id
    with tracker(tmp_path, resume_id=first.run_id) as second:
        log_steps(second, 3)
    assert list(server.runs) == [first.run_id] == [second.run_id]
    assert server.runs[second.run_id].exit_code == 0


@pytest.fixture(params=["closed port", pytest.param("silent server", marks=pytest.mark.slow)])
def dead_url(request):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if request.param == "silent server":
            listener.listen(100)  # the kernel accepts, nobody ever answers
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_an_unreachable_server_costs_the_agreed_time_and_the_run_goes_on_offline(
    tmp_path, outcome, dead_url, monkeypatch, caplog, capfd
):
    monkeypatch.setenv("WANDB_BASE_URL", dead_url)
    monkeypatch.setenv("WANDB_API_KEY", API_KEY)
    start = time.monotonic()
    with tracker(tmp_path, init_timeout=1.0) as run:
        waited = time.monotonic() - start
        run.finish(outcome)
    assert waited < 12, "one second to connect, two to end the helper process, and start-up"
    assert "kept offline" in our_messages(caplog)[0]
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.glob("wandb/run-*")), "a part of the failed attempt is left"
    (summary,) = inspect(tmp_path, "--summary")
    assert (summary["state"], summary["summary"]["test/image_auroc"]) == ("finished", 0.75)


@pytest.mark.parametrize("dead_url", ["closed port"], indirect=True)
def test_online_by_demand_is_refused_where_the_server_does_not_answer(
    tmp_path, dead_url, monkeypatch
):
    monkeypatch.setenv("WANDB_BASE_URL", dead_url)
    monkeypatch.setenv("WANDB_API_KEY", API_KEY)
    with (
        pytest.raises(UserError, match=r"did not open a run .*mode=offline"),
        tracker(tmp_path, mode="online", init_timeout=1.0),
    ):
        pytest.fail("the body must not run")


def test_online_by_demand_without_a_key_is_refused_and_never_prompts(tmp_path):
    with pytest.raises(UserError, match="no API key"), tracker(tmp_path, mode="online"):
        pytest.fail("the body must not run")


def test_a_malformed_key_means_offline_with_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_API_KEY", "short")
    with tracker(tmp_path):
        pass
    assert "API key must have" in caplog.text
    assert inspect(tmp_path, "--summary")[0]["state"] == "finished"


def test_offline_by_demand_talks_to_nobody(server, tmp_path, outcome):
    with tracker(tmp_path, mode="offline") as run:
        run.finish(outcome)
    assert not server.operations
    assert inspect(tmp_path, "--summary")[0]["state"] == "finished"


@pytest.mark.parametrize(("mode", "folders"), [("offline", 1), ("disabled", 0)])
def test_a_mode_that_the_user_set_for_wandb_is_respected(
    server, tmp_path, outcome, monkeypatch, mode, folders
):
    monkeypatch.setenv("WANDB_MODE", mode)
    with tracker(tmp_path / "run") as run:
        log_steps(run, 2)
        run.finish(outcome)
    assert not server.operations
    assert len(list(tmp_path.glob("run/wandb/offline-run-*"))) == folders


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("WANDB_MODE", "often", "WANDB_MODE: Input should be 'online'"),
        ("WANDB_RESUME", "perhaps", "WANDB_RESUME: Input should be 'allow'"),
        ("WANDB_PROJECT", "a/b", "Invalid project name 'a/b'"),
    ],
)
def test_what_the_shell_says_wrongly_is_one_line_with_its_name(
    tmp_path, monkeypatch, name: str, value: str, told: str
):
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as caught, tracker(tmp_path):
        pytest.fail("the body must not run")
    line = str(caught.value)
    assert told in line and "correct or unset it" in line and "\n" not in line


@pytest.mark.parametrize("given", [None, "another"])
def test_a_sweep_left_in_the_shell_takes_neither_project_nor_id(
    tmp_path, monkeypatch, caplog, given: str | None
):
    """wandb ignores both in a sweep: the run went to the project "uncategorized"."""
    monkeypatch.setenv("WANDB_SWEEP_ID", "left")
    if given:
        monkeypatch.setenv("WANDB_RUN_ID", given)
    with tracker(tmp_path, resume_id="ours") as run:
        made = run._run
        assert made and (made.id, made.project, made.sweep_id) == ("ours", "cfa-lab", None)
    assert os.environ["WANDB_SWEEP_ID"] == "left"
    assert "WANDB_SWEEP_ID=left is not used" in caplog.text


def test_a_sweep_whose_agent_gave_the_id_is_the_runs(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_SWEEP_ID", "theirs")
    monkeypatch.setenv("WANDB_RUN_ID", "given")
    with tracker(tmp_path, resume_id="given") as run:
        assert run._run and (run._run.id, run._run.sweep_id) == ("given", "theirs")
    assert "not used" not in caplog.text


def test_losing_wandb_in_the_middle_is_said_once_and_does_not_stop_the_run(
    tmp_path, outcome, monkeypatch, caplog
):
    with tracker(tmp_path) as run:
        log_steps(run, 1)
        assert run._run
        monkeypatch.setattr(run._run._interface, "publish_partial_history", broken_pipe)
        log_steps(run, 3)
        run.log_evaluation(0, {"test/image_auroc": 0.5})
        run.finish(outcome)
    warnings = [message for message in our_messages(caplog) if "sync" not in message]
    assert warnings == ["W&B was lost, the run goes on without it: helper is gone"]


def broken_pipe(*_: object, **__: object) -> None:
    raise BrokenPipeError("helper is gone")


@pytest.mark.parametrize(
    "fault", ["401", "hang", *(pytest.param(f, marks=pytest.mark.slow) for f in ("500", "junk"))]
)
def test_a_server_that_fails_after_opening_costs_the_agreed_time_and_is_told_of(
    tmp_path, outcome, server: FakeWandb, caplog, fault: str
):
    """wandb itself insists for minutes, or says nothing."""
    start = time.monotonic()
    run = tracker(tmp_path, finish_timeout=3.0).__enter__()
    opened = time.monotonic() - start
    (part,) = tmp_path.glob("wandb/run-*/")
    assert (part / UNSENT).is_file(), "a killed run has to be sent again"
    log_steps(run, 2)
    server.fault = fault
    run.finish(outcome)
    run.__exit__(None, None, None)
    assert time.monotonic() - start - opened < 40, "wandb by itself takes 140"
    last = our_messages(caplog)[-1]
    assert "W&B has not taken everything" in last
    assert f"python -m cfa_lab sync {tmp_path}` sends the rest" in last
    assert (part / UNSENT).is_file()


def test_many_runs_in_one_process_leave_nothing_in_the_temporary_folder(
    tmp_path, outcome, monkeypatch
):
    wandb: Any = import_module("wandb")
    for number in range(2):
        with tracker(tmp_path / str(number)) as run:
            run.finish(outcome)
        places = (wandb.sdk.data_types._private.MEDIA_TMP, wandb.Artifact._TMP_DIR)
        assert [list(Path(place.name).iterdir()) for place in places] == [[], []]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"mode": "on"}, "tracker.mode is 'on'; allowed: auto, online, offline"),
        ({"project": "a/b"}, "project 'a/b'"),
    ],
)
def test_impossible_arguments_are_refused_before_anything_starts(tmp_path, changes, complaint):
    with pytest.raises(UserError, match=complaint):
        tracker(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_a_letter_outside_ascii_loses_no_model(server, tmp_path, outcome):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    with tracker(tmp_path, name="resnet18-Größe-s0") as run:
        run.finish(replace(outcome, model=[tmp_path / "model.safetensors"]))
    assert legal_name("resnet18-Größe-s0") in server.runs[run.run_id].artifacts
    assert server.stored["model.safetensors"] == b"weights"


def test_names_are_made_legal_and_never_become_one():
    names = [
        "resnet18-bottle-s0",
        "resnet18-Größe-s0",
        "resnet18-Grüße-s0",
        "a/b",
        "x" * 200,
    ]
    legal = [legal_name(name) for name in names]
    assert legal[0] == names[0] and len({*legal}) == len(names)
    assert all(len(name) <= 128 and re.fullmatch(r"[A-Za-z0-9_.-]+", name) for name in legal)


def test_tags_are_made_legal_and_the_real_ones_stay_in_the_config(tmp_path, outcome):
    tags = ["toy", "", "toy", "x" * 65, "x" * 66, "y" * 64]
    with tracker(tmp_path, tags=tags) as run:
        assert run._run
        kept = run._run.tags
        assert kept and {"toy", "y" * 64} < {*kept} and len(kept) == 4
        assert all(1 <= len(tag) <= 64 for tag in kept)
        assert run._run.config["tags"] == tags
        run.finish(outcome)


def test_a_part_that_wandb_refuses_keeps_no_other_from_it(tmp_path, outcome, monkeypatch, caplog):
    def refuse(*_: object) -> None:
        raise ValueError("no such table\nand more")

    monkeypatch.setattr("cfa_lab.tracking.wandb.predictions_table", refuse)
    with tracker(tmp_path) as run:
        assert run._run
        run.finish(outcome)
        assert run._run.summary["test/image_auroc"] is not None
    warnings = [message for message in our_messages(caplog) if "sync" not in message]
    assert warnings == ["W&B refuses the predictions, which the folder has: no such table"]


def test_an_argument_that_wandb_refuses_is_a_user_error(tmp_path):
    with (
        pytest.raises(UserError, match="W&B refuses the run"),
        tracker(tmp_path, resume_id="not/an/id"),
    ):
        pytest.fail("the body must not run")


def test_without_the_package_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"pip install wandb.*tracker=none"):
        tracker(tmp_path)


@given(
    x=st.lists(st.floats(0, 1), min_size=1, max_size=300),
    num_points=st.integers(2, 50),
    data=st.data(),
)
def test_a_thinned_curve_keeps_its_ends_and_order(x, num_points, data):
    y = data.draw(st.lists(st.floats(0, 1), min_size=len(x), max_size=len(x)))
    curve = Curve(x=np.array(x), y=np.array(y), x_label="x", y_label="y", title="t")
    chosen = points_along(curve, num_points)
    assert chosen[0] == 0 and chosen[-1] == len(x) - 1
    assert len(chosen) <= max(num_points, 1)
    assert np.all(np.diff(chosen) > 0)


def test_a_thinned_curve_stays_close_to_the_whole_one():
    x = np.concatenate([np.zeros(5000), np.linspace(0, 1, 5000)])  # a steep ROC curve
    y = np.concatenate([np.linspace(0, 0.9, 5000), np.linspace(0.9, 1, 5000)])
    curve = Curve(x=x, y=y, x_label="x", y_label="y", title="t")
    chosen = points_along(curve, 100)
    assert np.abs(np.diff(x[chosen])).max() < 0.03
    assert np.abs(np.diff(y[chosen])).max() < 0.03
