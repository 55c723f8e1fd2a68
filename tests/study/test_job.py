"""A job of a study: reused, gone on with, retried or computed, always with the same numbers."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cfa_lab.config import Config
from cfa_lab.errors import UserError
from cfa_lab.run import prepare as preparation
from cfa_lab.run import run as run_module
from cfa_lab.run.prepare import make_backbone
from cfa_lab.study.index import RunIndex
from cfa_lab.study.job import run_once
from cfa_lab.study.plan import plan, seconds_left
from cfa_lab.study.reuse import JobOutcome
from cfa_lab.study.show import headline

Configure = Callable[..., Config]


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def once(config: Config, folder: Path, root: Path) -> JobOutcome:
    return run_once(config, folder, RunIndex(root), on_begin=lambda place: None)


@pytest.fixture(scope="module")
def root(tmp_path_factory, tiny_root: Path) -> Path:
    """A root with one complete run in `first`; tests add folders, none changes that one."""
    from helpers.tiny import TINY_RUN, compose

    root = tmp_path_factory.mktemp("root")
    config = compose(*TINY_RUN, f"dataset.root={tiny_root}")
    assert once(config, root / "first", root).status == "computed"
    return root


def test_a_finished_run_is_reused_and_left_alone(root: Path, tiny_config: Configure):
    before = (root / "first" / "metrics.json").read_bytes()
    outcome = once(tiny_config("tracker.group=other"), root / "second", root)
    assert outcome.status == "reused"
    assert [path.name for path in (root / "second").iterdir()] == ["metrics.json"]
    found = record(root / "second")
    assert found["reused_from"] == "../first"
    assert found["config"]["tracker"]["group"] == "other"
    assert found["metrics"] == outcome.metrics == record(root / "first")["metrics"]
    assert once(tiny_config(), root / "first", root).status == "reused"
    assert (root / "first" / "metrics.json").read_bytes() == before
    assert once(tiny_config(), root / "third", root).status == "reused"
    assert record(root / "third")["reused_from"] == "../first"


def test_maps_that_are_asked_for_and_not_there_are_computed(root: Path, tiny_config: Configure):
    outcome = once(tiny_config("evaluation.maps=true"), root / "maps", root)
    assert outcome.status == "computed"
    assert (root / "maps" / "maps").is_dir()
    assert outcome.metrics == record(root / "first")["metrics"]
    assert once(tiny_config("evaluation.maps=true"), root / "more", root).status == "reused"


def test_resume_never_computes_again(root: Path, tiny_config: Configure):
    outcome = once(tiny_config("resume=never"), root / "again", root)
    assert outcome.status == "computed"
    assert outcome.metrics == record(root / "first")["metrics"]
    assert "reused_from" not in record(root / "again")


def test_a_folder_with_another_run_is_not_touched(root: Path, tiny_config: Configure):
    before = (root / "first" / "metrics.json").read_bytes()
    outcome = once(tiny_config("seed=5"), root / "first", root)
    assert outcome.status == "computed"
    assert outcome.folder.parent == root
    assert outcome.folder.name.startswith("first-")
    assert record(outcome.folder)["config"]["seed"] == 5
    assert (root / "first" / "metrics.json").read_bytes() == before
    taken = outcome.folder
    reused = once(tiny_config(), taken, root)  # the other way round: a reuse writes over nothing
    assert reused.status == "reused"
    assert record(taken)["config"]["seed"] == 5
    assert record(reused.folder)["config"]["seed"] == 0


def test_a_failed_run_moves_to_the_new_folder_and_goes_on(
    root: Path, tiny_config: Configure, tmp_path: Path, monkeypatch
):
    def fail(*_: object, **__: object) -> None:
        raise UserError("no luck today")

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "evaluate", fail)
        with pytest.raises(UserError, match="no luck"):
            once(tiny_config(), tmp_path / "failed", tmp_path)
    assert record(tmp_path / "failed")["status"] == "failed"
    (job,) = plan([tiny_config()], RunIndex(tmp_path))
    assert (job.status, job.missing_ratio) == ("failed", 0)
    path = tmp_path / "failed" / "metrics.json"
    stopped = record(path.parent) | {"error": "KeyboardInterrupt"}
    path.write_text(json.dumps(stopped))
    assert plan([tiny_config()], RunIndex(tmp_path))[0].status == "unfinished"

    histories = []
    whole = run_module.train
    monkeypatch.setattr(
        run_module, "train", lambda *a: histories.append(whole(*a)) or histories[-1]
    )
    outcome = once(tiny_config(), tmp_path / "again", tmp_path)
    assert outcome.status == "resumed"
    assert histories == [[]]  # nothing was left to train
    assert not (tmp_path / "failed").exists()
    assert record(tmp_path / "again")["metrics"] == record(root / "first")["metrics"]
    assert (tmp_path / "again" / "history.csv").read_bytes() == (
        root / "first" / "history.csv"
    ).read_bytes()
    assert once(tiny_config(), tmp_path / "third", tmp_path).status == "reused"


def test_the_plan_tells_done_from_new_and_how_long_new_ones_take(
    root: Path, tiny_config: Configure
):
    jobs = ("seed=0", "seed=9", "category=none", "resume=never")
    configs = [tiny_config(job) for job in jobs]
    planned = plan(configs, RunIndex(root))
    assert [job.status for job in planned] == ["done", "new", "unknown", "new"]
    assert "'none'" in (planned[2].error or "")
    assert planned[0].found is not None
    spent = sum(planned[0].found[1]["timing"].values())
    assert seconds_left(configs, planned) == pytest.approx(3 * spent)
    text = headline(configs, planned, parallel=1)
    assert text.startswith("4 jobs: 1 done, 2 new, 1 unknown; about ")


def test_a_plan_without_earlier_runs_looks_at_nothing(
    tiny_config: Configure, tmp_path, monkeypatch
):
    monkeypatch.setattr(preparation, "make_network", None)
    configs = [tiny_config("category=none"), tiny_config()]
    planned = plan(configs, RunIndex(tmp_path))
    assert [job.status for job in planned] == ["new", "new"]
    assert headline(configs, planned, parallel=None) == "2 jobs: 2 new"


def test_a_process_builds_each_network_once(tiny_config: Configure, tmp_path: Path):
    from safetensors.torch import save_file

    first = make_backbone(tiny_config())
    assert make_backbone(tiny_config("seed=1", "loss.K=1"))[0] is first[0]
    assert make_backbone(tiny_config("backbone.activation=relu"))[0] is not first[0]
    state = preparation.make_network("resnet18", weights="random").state_dict()
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    config = tiny_config(f"backbone.weights='{path}'")
    assert make_backbone(config)[1] == first[1]
    state["conv1.weight"] += 1
    save_file(state, path)
    assert make_backbone(config)[1] != first[1]


def test_a_finished_run_in_the_jobs_own_folder_is_reused_without_any_hint(
    root: Path, tiny_config: Configure, tmp_path: Path
):
    shutil.copytree(root / "first", tmp_path / "b" / "0")
    before = (tmp_path / "b" / "0" / "metrics.json").read_bytes()
    outcome = once(tiny_config(), tmp_path / "b" / "0", tmp_path)
    assert (outcome.status, outcome.folder) == ("reused", tmp_path / "b" / "0")
    assert (tmp_path / "b" / "0" / "metrics.json").read_bytes() == before


def test_a_complete_run_of_the_same_key_is_not_written_over(
    root: Path, tiny_config: Configure, tmp_path: Path
):
    shutil.copytree(root / "first", tmp_path / "0")
    before = {p: p.read_bytes() for p in (tmp_path / "0").rglob("*") if p.is_file()}
    for settings in (["resume=never"], ["evaluation.maps=true"], ["resume=never"]):
        outcome = once(tiny_config(*settings), tmp_path / "0", tmp_path)
        assert outcome.status == "computed"
        assert outcome.folder != tmp_path / "0"
    assert {p: p.read_bytes() for p in (tmp_path / "0").rglob("*") if p.is_file()} == before
    assert len(list(tmp_path.glob("0*"))) == 4


def test_what_a_process_left_before_there_was_anything_to_go_on_from_is_taken_again(
    root: Path, tiny_config: Configure, tmp_path: Path
):
    """Killed before the first state, or a history without one, as earlier versions left them."""
    folder = tmp_path / "0"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text("[]")
    (folder / "history.csv").write_text("")
    (folder / ".state.safetensors.77.partial").write_text("half")
    outcome = once(tiny_config(), folder, tmp_path)
    assert (outcome.status, outcome.folder) == ("computed", folder)
    assert record(folder)["metrics"] == record(root / "first")["metrics"]
    assert not list(folder.glob(".*.partial"))


def test_a_damaged_state_keeps_no_job_from_its_result(
    root: Path, tiny_config: Configure, tmp_path: Path, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "evaluate", None)
        with pytest.raises(TypeError):
            once(tiny_config(), tmp_path / "0", tmp_path)
    path = tmp_path / "0" / "state.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    assert plan([tiny_config()], RunIndex(tmp_path))[0].status == "new"
    outcome = once(tiny_config(), tmp_path / "0", tmp_path)
    assert outcome.status == "computed"
    assert record(outcome.folder)["metrics"] == record(root / "first")["metrics"]
