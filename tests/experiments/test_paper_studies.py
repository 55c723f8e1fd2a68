"""The paper's studies from command to published tables: a rehearsal on toy images.

With random weights and images of 64 pixels the numbers mean nothing; what counts is that nobody has
to edit a study to run the real thing.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from cfa_lab.data.toy import write_toy
from cfa_lab.report.tables.mvtec import CATEGORIES

SCENES = {name: ("gear", "hide", "weave")[i % 3] for i, name in enumerate(CATEGORIES)}

SMALL = [
    *("backbone.weights=random", "trainer.num_threads=1", "tracker=none"),
    *("evaluation.cases=0", "evaluation.diagnostics=0", "evaluation.resamples=0"),
]
CROPPED = ["image.size=64", "image.crop=64"]
ONE_EPOCH = "trainer.epochs=1"

REHEARSALS = {
    "paper_table2": ([*CROPPED, ONE_EPOCH], 15, ["mvtec.md"]),
    "paper_table3": ([*CROPPED, ONE_EPOCH], 30, ["mvtec.md"]),
    "paper_table5": ([*CROPPED], 120, ["mvtec.md", "radius.svg"]),
    "paper_table6": ([*CROPPED, ONE_EPOCH], 60, ["mvtec.md"]),
    "paper_table7": ([*CROPPED, ONE_EPOCH], 45, ["mvtec.md"]),
    "mvtec_readme": (["image.height=64", "image.width=64", ONE_EPOCH], 30, ["mvtec.md"]),
}
"""Study -> settings that make it small, its number of jobs, and files beyond those of every study.

Table 5 keeps its epochs, which are part of what it compares; four images are a step an epoch."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `data/mvtec` lies: 15 categories, four images to train and a few to test."""
    root = tmp_path_factory.mktemp("rehearsal")
    few = {"num_train": 4, "num_good": 2, "num_defects": 1}
    write_toy(root / "data" / "mvtec", size=64, categories=SCENES, **few)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("study", REHEARSALS)
def test_a_study_of_the_paper_goes_from_its_command_to_published_tables(place: Path, study: str):
    small, num_jobs, files = REHEARSALS[study]
    done = cfa_lab(f"experiment={study}", *SMALL, *small, cwd=place)
    assert done.returncode == 0, done.stderr
    counts = re.search(r"^(\d+) jobs: (.*)$", done.stdout, re.MULTILINE)
    assert counts and int(counts[1]) == num_jobs
    assert "failed" not in counts[2]
    again = cfa_lab("plan", f"experiment={study}", *SMALL, *small, cwd=place)
    assert again.stdout.startswith(f"{num_jobs} jobs: {num_jobs} done\n"), again.stderr

    output = f"experiments/results/{study}"
    published = cfa_lab("report", f"multirun/{study}", "--output", output, "--publish", cwd=place)
    assert published.returncode == 0, published.stderr
    assert f"{num_jobs} runs in" in published.stdout
    there = {path.name for path in (place / output).iterdir()}
    assert there >= {"tables.md", "cost.md", "summary.csv", "metrics.svg", *files}
    summary = pd.read_csv(place / output / "summary.csv")
    assert set(summary.category) == {*CATEGORIES, "mean"}
    assert summary["mean"].between(0, 1).all()
    means = summary[(summary.category == "mean") & (summary.metric == "test/image_auroc")]
    assert len(means) == num_jobs / 15
    assert set(means.num_categories) == {15}
    tables = (place / output / "tables.md").read_text(encoding="utf-8")
    assert "are missing" not in tables and "| bottle |" in tables


def cfa_lab(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command as a user types it, where `CFA_LAB_DATA` names the folder of all data sets."""
    environment = os.environ | {"CFA_LAB_DATA": str(cwd / "data"), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "cfa_lab", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=3600
    )
