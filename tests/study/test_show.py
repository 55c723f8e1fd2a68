"""The table at the end of a study and the line before it."""

from pathlib import Path

import pytest
from helpers.tiny import compose

from cfa_lab.study.plan import PlannedJob
from cfa_lab.study.reuse import JobOutcome
from cfa_lab.study.show import list_jobs, show_summary


def outcome(value: float | None, status: str = "computed", error: str | None = None) -> JobOutcome:
    metrics = {} if status == "failed" else {"test/image_auroc": value}
    return JobOutcome(status=status, folder=Path("run"), metrics=metrics, error=error)


def summary(capsys: pytest.CaptureFixture[str], jobs: list[str], outcomes: list[JobOutcome]) -> str:
    settings = [dict(part.split("=") for part in job.split()) for job in jobs]
    configs = [compose(f"category={job['category']}") for job in settings]
    show_summary(settings, configs, outcomes, Path("study"))
    return capsys.readouterr().out


def test_cells_are_means_over_seeds_and_means_over_categories_are_of_cells(capsys):
    jobs = [
        "category=a seed=0 loss.K=1",
        "category=a seed=1 loss.K=1",
        "category=b seed=0 loss.K=1",
    ]
    text = summary(capsys, jobs, [outcome(0.5), outcome(0.7), outcome(1.0, "reused")])
    lines = [line.split() for line in text.splitlines()]
    assert ["a", "0.6000", "(2)"] in lines
    assert ["b", "1.0000", "(1)"] in lines
    assert ["mean", "0.8000"] in lines
    assert "3 jobs: 2 computed, 1 reused" in text
    assert "loss.K" not in text  # the same everywhere


def test_many_settings_stand_below_each_other(capsys):
    jobs = [f"category={c} loss.K={k}" for c in "ab" for k in (1, 2, 3)]
    values = [0.1, 0.2, 0.3, 0.5, 0.6, 0.7]
    text = summary(capsys, jobs, [outcome(value) for value in values])
    lines = [line.split() for line in text.splitlines()]
    assert ["loss.K=1", "0.1000", "(1)", "0.5000", "(1)", "0.3000"] in lines


def test_keys_that_a_case_leaves_alone_are_not_named_and_data_goes_with_its_category(capsys):
    data = ["category=a dataset.limit_train=32", "category=b dataset=toy"]
    jobs = [f"{case} {more}" for case in data for more in ("loss.J=0", "trainer.epochs=0", "")]
    text = summary(capsys, jobs, [outcome(value) for value in (0.1, 0.2, 0.3, 0.5, 0.6, 0.7)])
    lines = [line.split() for line in text.splitlines()]
    assert ["trainer.epochs=0", "0.2000", "(1)", "0.6000", "(1)", "0.4000"] in lines
    assert ["as", "it", "stands", "0.3000", "(1)", "0.7000", "(1)", "0.5000"] in lines
    assert "dataset" not in text and "None" not in text


def test_a_failed_job_is_named_with_its_error_and_an_undefined_value_is_no_zero(capsys):
    jobs = ["category=a seed=0", "category=b seed=0"]
    settings = [dict(part.split("=") for part in job.split()) for job in jobs]
    configs = [compose(f"category={job['category']}") for job in settings]
    outcomes = [outcome(None), outcome(None, "failed", "the disk is gone")]
    show_summary(settings, configs, outcomes, Path("study"))
    captured = capsys.readouterr()
    assert "2 jobs: 1 computed, 1 failed" in captured.out
    assert "AUROC" not in captured.out
    assert captured.err == "failed: job 1, category=b: the disk is gone\n"


def test_a_listing_names_what_is_known_of_each_job(capsys):
    planned = [
        PlannedJob(status="done", found=(Path("x"), {"metrics": {"test/image_auroc": 0.25}})),
        PlannedJob(status="unfinished", missing_ratio=0.4),
        PlannedJob(status="unknown", error="no such category"),
    ]
    list_jobs([{"seed": str(i), "loss.K": "3"} for i in range(3)], planned)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["0", "done", "seed=0", "image", "AUROC", "0.2500"]
    assert lines[1].split() == ["1", "unfinished", "seed=1", "60%", "of", "the", "epochs", "done"]
    assert lines[2].endswith("no such category")
