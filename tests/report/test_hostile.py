"""A damaged or foreign folder is listed with its reason, and the rest is reported."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.odd_records import damaged
from helpers.synthetic import write_run

from cfa_lab.report.command import main


def test_no_record_ends_the_report_of_the_others(tmp_path: Path, capsys):
    runs = tmp_path / "runs"
    for seed in range(2):
        write_run(runs / f"good{seed}", seed=seed)
    record = json.loads((runs / "good0" / "metrics.json").read_text())
    odd = list(damaged(record))
    assert len(odd) > 300
    for number, changed in enumerate(odd):
        folder = runs / f"odd{number:04}"
        folder.mkdir()
        changed = changed | (
            {"run_key": f"k{number}"} if changed.get("run_key") == record.get("run_key") else {}
        )
        (folder / "metrics.json").write_text(json.dumps(changed))
    (runs / "deep").mkdir()
    (runs / "deep" / "metrics.json").write_text('{"a":' * 100_000)
    main([str(runs), "--output", str(tmp_path / "report")])
    said = capsys.readouterr().out
    assert "unreadable, named in the report" in said
    assert (tmp_path / "report" / "report.html").is_file()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b"{}", b"a,b\n1\n", b"\x00" * 50])
@pytest.mark.parametrize(
    "name", ["history.csv", "evaluations.csv", "predictions.csv", "diagnostics.json"]
)
def test_no_other_file_of_a_run_ends_the_report(tmp_path: Path, name: str, content: bytes):
    for seed in range(2):
        write_run(tmp_path / "runs" / str(seed), seed=seed)
    (tmp_path / "runs" / "0" / name).write_bytes(content)
    main([str(tmp_path / "runs"), "--output", str(tmp_path / "report")])
    assert (tmp_path / "report" / "report.html").is_file()


def test_no_pipe_or_device_in_a_run_folder_is_waited_for(tmp_path: Path):
    """In a process of its own, so that one that waits is ended."""
    for i, name in enumerate(FILES):
        for seed, put in enumerate((os.mkfifo, lambda path: path.symlink_to("/dev/zero"))):
            folder = tmp_path / "runs" / f"{i}-{seed}"
            write_run(folder, seed=2 * i + seed)
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).unlink(missing_ok=True)
            put(folder / name)
    command = [sys.executable, "-m", "cfa_lab", "report", "runs", "--output", "report"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report" / "report.html").is_file()


FILES = [
    *("metrics.json", "history.csv", "evaluations.csv", "predictions.csv", "diagnostics.json"),
    *("model.json", "model.safetensors", "state.safetensors", "run.log", ".hydra/config.yaml"),
    *(".hydra/hydra.yaml", ".hydra/overrides.yaml", "figures/0.png", "figures/cases.png"),
]


def test_names_are_no_formulas_and_no_html(tmp_path: Path):
    hostile = {"category": '=HYPERLINK("x")', "config": {"preset": "<script>alert(1)</script>"}}
    write_run(tmp_path / "runs" / "0", **hostile)
    write_run(tmp_path / "runs" / "1", category="<b>+1</b>", seed=0)
    write_run(tmp_path / "runs" / "2", category="-2+3|x", seed=0)
    write_run(tmp_path / "runs" / "3", category="\t=1", seed=0)
    path = tmp_path / "runs" / "0" / "metrics.json"
    record = json.loads(path.read_text())
    record["metrics"] |= {"=1+1": 0.5, "test/<script>alert(2)</script>": 0.5}
    path.write_text(json.dumps(record | {"oracle": {"+x": 1.0}, "timing": {"@t": 2.0}}))
    main([str(tmp_path / "runs"), "--output", str(tmp_path / "report")])
    report = tmp_path / "report"
    for name in ("results.csv", "summary.csv", "differences.csv"):
        with (report / name).open(newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "@", "+", "\t", "-2+"))], name
    assert "'=HYPERLINK" in (report / "results.csv").read_text()
    for name in ("tables.md", "report.html"):
        text = (report / name).read_text()
        assert "<script>alert" not in text and "<b>+1" not in text, name
