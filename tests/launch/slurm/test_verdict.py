"""What is made of a job that is over and left no end, by the scheduler's word."""

from pathlib import Path

import pytest

from cfa_lab.launch.slurm.options import Options
from cfa_lab.launch.slurm.scheduler import State
from cfa_lab.launch.slurm.verdict import judge, never_starts, position

OPTIONS = Options(retries=2, max_num_timeout=3, timeout_min=7)


@pytest.mark.parametrize(
    "state, began, moved, kind, tries",
    [
        (State("TIMEOUT"), True, True, "limit", 3),
        (State("TIMEOUT"), True, False, "start", 0),
        (State("CANCELLED"), True, True, "cancelled", 0),
        (None, False, False, "cancelled", 0),
        (None, True, False, "gone", 2),
        (State("COMPLETED"), True, False, "gone", 2),
        (State("OUT_OF_MEMORY"), True, False, "memory", 0),
        (State("NODE_FAIL"), True, False, "node", 2),
        (State("PREEMPTED"), True, True, "node", 2),
        (State("FAILED", code=-9), True, False, "killed", 2),
        (State("FAILED", code=137), True, False, "killed", 2),
        (State("FAILED", code=1), True, False, "failed", 0),
        (State("FAILED", reason="launch failed requeued held"), False, False, "refused", 0),
    ],
)
def test_what_is_tried_again_and_how_often(
    state: State | None, began: bool, moved: bool, kind: str, tries: int
):
    found = judge(state, began=began, moved=moved, options=OPTIONS)
    assert (found.kind, found.tries) == (kind, tries)
    assert "\n" not in found.text


def test_reasons_that_waiting_does_not_change():
    for reason in ("PartitionTimeLimit", "JobHeldUser", "QOSMaxCpuPerJobLimit", "BadConstraints"):
        assert never_starts(reason), reason
    for reason in ("Resources", "Priority", "Dependency", ""):
        assert not never_starts(reason), reason


def test_a_run_got_on_where_its_state_was_written_there_or_beside(tmp_path: Path):
    folder = tmp_path / "run"
    assert position(folder) is None
    for place in (folder, tmp_path / "run-0123"):
        before = position(folder)
        place.mkdir()
        (place / "state.safetensors").write_text("x" * 10)
        assert position(folder) != before
