"""Finding runs by key: hints are small, relative, and never trusted beyond the folder itself."""

import json
import threading
from pathlib import Path

from cfa_lab.records.record import record_of, write_reuse
from cfa_lab.study.index import RunIndex, dated_root, study_root


def write_run(folder: Path, key: str, **values: object) -> Path:
    folder.mkdir(parents=True)
    record = {"status": "complete", "run_key": key, "metrics": {"test/image_auroc": 0.5}, **values}
    (folder / "metrics.json").write_text(json.dumps(record))
    return folder


def test_only_a_complete_run_of_the_same_key_is_found(tmp_path: Path):
    index = RunIndex(tmp_path)
    assert index.is_empty
    done = write_run(tmp_path / "sweep" / "0", "aa")
    index.add("aa", done)
    index.add("bb", write_run(tmp_path / "sweep" / "1", "bb", status="failed"))
    index.add("cc", write_run(tmp_path / "sweep" / "2", "other"))
    index.add("dd", tmp_path / "removed")
    assert not index.is_empty
    found = index.complete("aa")
    assert found is not None
    assert found[0] == done
    assert [index.complete(key) for key in ("bb", "cc", "dd", "ee")] == [None] * 4
    (done / "metrics.json").write_text("{")
    assert index.complete("aa") is None


def test_hints_survive_a_move_of_all_runs(tmp_path: Path):
    index = RunIndex(tmp_path / "here")
    index.add("aa", write_run(tmp_path / "here" / "sweep" / "0", "aa"))
    (tmp_path / "here").rename(tmp_path / "there")
    found = RunIndex(tmp_path / "there").complete("aa")
    assert found is not None
    assert found[0] == tmp_path / "there" / "sweep" / "0"


def test_other_roots_are_read_but_not_taken_over(tmp_path: Path):
    single, many = tmp_path / "outputs", tmp_path / "multirun"
    RunIndex(single).add("aa", write_run(single / "run", "aa"))
    index = RunIndex(many, others=[single])
    assert index.complete("aa") is not None
    assert index.begun("aa") is None


def test_a_missing_index_is_made_again_from_complete_runs(tmp_path: Path):
    done = write_run(tmp_path / "day" / "0", "aa")
    write_run(tmp_path / "day" / "1", "bb", status="failed")
    write_reuse(tmp_path / "day" / "2", done, record_of(done), {})
    foreign = tmp_path / "other-project" / "metrics.json"
    foreign.parent.mkdir()
    foreign.write_text("[0.5]")
    index = RunIndex(tmp_path)
    index.rebuild()
    found = index.complete("aa")
    assert found is not None
    assert found[0] == done
    assert index.begun("bb") is None


def test_a_key_is_held_by_one_at_a_time(tmp_path: Path):
    events: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with RunIndex(tmp_path).held("aa"):
            events.append("second")

    thread = threading.Thread(target=second)
    with RunIndex(tmp_path).held("aa"):
        thread.start()
        waiting.wait()
        thread.join(timeout=0.2)
        with RunIndex(tmp_path).held("bb"):
            events.append("first")
    thread.join(timeout=10)
    assert events == ["first", "second"]


def test_date_and_time_do_not_belong_to_the_root():
    assert dated_root(Path("/x/multirun/2026-01-02/03-04-05-678901")) == Path("/x/multirun")
    assert dated_root(Path("/x/outputs/2026-01-02/03-04-05")) == Path("/x/outputs")
    assert dated_root(Path("/x/my-study")) is None


def test_named_studies_below_multirun_share_their_runs():
    assert study_root(Path("/x/multirun/2026-01-02/03-04-05-678901")) == Path("/x/multirun")
    assert study_root(Path("/x/multirun/presets")) == Path("/x/multirun")
    assert study_root(Path("/x/multirun/a/multirun/radius/lite0")) == Path("/x/multirun/a/multirun")
    assert study_root(Path("/x/multirun")) == Path("/x/multirun")
    assert study_root(Path("/x/sweeps/2026-01-02/03-04-05")) == Path("/x/sweeps")
    assert study_root(Path("/scratch/study")) == Path("/scratch/study")


def test_runs_of_a_renamed_study_are_found_and_hinted_at_again(tmp_path: Path):
    index = RunIndex(tmp_path)
    for number, key in enumerate(("aa", "bb")):
        index.add(key, write_run(tmp_path / "a" / str(number), key))
    index.add("gone", tmp_path / "a" / "gone")
    (tmp_path / "a").rename(tmp_path / "b")
    index = RunIndex(tmp_path)
    index.rebuild()
    for number, key in enumerate(("aa", "bb")):
        found = index.complete(key)
        assert found is not None
        assert found[0] == tmp_path / "b" / str(number)
    assert RunIndex(tmp_path).begun("bb") == tmp_path / "b" / "1", "the hint is good again"
    assert index.complete("gone") is None
    assert index.begun("gone") is None, "nobody searches for it a second time"


def test_a_hint_to_a_folder_where_another_run_stands_now_is_not_the_end(tmp_path: Path):
    index = RunIndex(tmp_path)
    index.add("aa", write_run(tmp_path / "a" / "0", "aa"))
    (tmp_path / "a").rename(tmp_path / "b")
    index.add("cc", write_run(tmp_path / "a" / "0", "cc"))
    found = RunIndex(tmp_path).complete("aa")
    assert found is not None
    assert found[0] == tmp_path / "b" / "0"


def test_an_emptied_index_is_made_again_and_a_study_moved_here_is_seen(tmp_path: Path):
    (tmp_path / ".runs").mkdir()
    done = write_run(tmp_path / "a" / "0", "aa")
    index = RunIndex(tmp_path)
    index.rebuild()
    assert index.begun("aa") == done
    moved = write_run(tmp_path / "moved" / "0", "bb")
    index = RunIndex(tmp_path)
    index.rebuild()
    assert index.complete("bb") is None, "one good hint is there: nothing is searched"
    index.rebuild(tmp_path / "moved")
    found = index.complete("bb")
    assert found is not None
    assert found[0] == moved


def test_a_root_that_is_only_read_is_searched(tmp_path: Path, monkeypatch):
    done = write_run(tmp_path / "a" / "0", "aa")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    index = RunIndex(tmp_path / "other", others=[tmp_path])
    index.rebuild()
    assert not index.is_empty
    found = index.complete("aa")
    assert found is not None
    assert found[0] == done


def test_what_is_no_hint_leads_nowhere(tmp_path: Path):
    index = RunIndex(tmp_path)
    index.add("aa", write_run(tmp_path / "a" / "0", "aa"))
    (tmp_path / ".runs" / "aa").write_bytes(b"\xff\xfe")
    assert index.begun("aa") is None
    (tmp_path / ".runs" / "bb").mkdir()
    assert index.begun("bb") is None
