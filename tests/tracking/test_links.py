"""One folder of links to a study's W&B runs, for `wandb leet`."""

import json
from pathlib import Path

from cfa_lab.tracking.links import link_runs
from cfa_lab.tracking.sync import main as sync


def write_log(folder: Path, name: str) -> Path:
    part = folder / "wandb" / f"offline-run-20260101_000000-{name}"
    part.mkdir(parents=True)
    (part / f"run-{name}.wandb").write_bytes(b"log")
    return part


def test_a_study_leads_to_the_logs_of_its_runs_wherever_they_lie(tmp_path: Path, capsys):
    study, other = tmp_path / "study", tmp_path / "other" / "0-run"
    own = [write_log(study / f"{i}-run", f"own{i}") for i in range(2)]
    reused = write_log(other, "reused")
    (study / "2-run").mkdir()
    record = {"status": "complete", "reused_from": "../../other/0-run"}
    (study / "2-run" / "metrics.json").write_text(json.dumps(record))
    (study / "wandb").mkdir()
    (study / "wandb" / "offline-run-gone").symlink_to("../gone")
    for _ in range(2):
        place = link_runs(study, [study / f"{i}-run" for i in range(3)])
        assert place is not None and place == study / "wandb"
        links = {link.name: link.resolve() for link in place.iterdir()}
        assert links == {part.name: part for part in [*own, reused]}
        assert not any(link.readlink().is_absolute() for link in place.iterdir())
    sync([str(study), "--dry-run"])
    assert "3 offline runs" in capsys.readouterr().out, "each once"


def test_a_study_without_wandb_has_no_such_folder(tmp_path: Path):
    (tmp_path / "0-run").mkdir()
    assert link_runs(tmp_path, [tmp_path / "0-run"]) is None
    assert not (tmp_path / "wandb").exists()
