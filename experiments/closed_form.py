"""What the study `closed_form` says of the default preset: means, differences, two searches.

    python experiments/closed_form.py multirun/closed_form > choice.md

A cell is a backbone and a category; seeds are averaged within it. Intervals are percentiles of
5000 resamples of the cells.
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from cfa_lab.records import names
from cfa_lab.records.record import read_record

METRICS = {
    "test/image_auroc": "image AUROC",
    "test/image_ap": "image AP",
    "test/aupro_30": "AUPRO@0.3",
    "test/pixel_ap": "pixel AP",
}
CHOSEN = "time 0.5, both"
OTHERS = {"adamw, mean": "`lab` as it was", "time 0, coreset": "raw features, k-centre bank"}
REAL = ("cookies", "magnetic_tile")

Cells = dict[tuple[str, str], np.ndarray]
"""(backbone, category) -> the metrics in percent, the mean over seeds."""


def read_cells(study: Path) -> dict[str, Cells]:
    """Setting -> its cells, of the complete runs of a study with K = 3."""
    found: dict[str, dict[tuple[str, str], list[list[float]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for path in sorted(study.glob(f"*/{names.RECORD}")):
        record = read_record(path.parent)
        config = record["config"] if record and record["status"] == "complete" else None
        if record is None or config is None or config["loss"]["K"] != 3:
            continue
        optimizer, kind = config["optimizer"], config["memory_bank"]["kind"]
        solved = optimizer["name"] == "closed_form"
        fit = f"time {optimizer['time']:g}" if solved else "adamw"
        setting = f"{fit}, {kind}"
        cell = (config["backbone"]["name"], config["category"])
        found[setting][cell].append([100 * record["metrics"][name] for name in METRICS])
    return {
        setting: {cell: np.mean(values, 0) for cell, values in cells.items()}
        for setting, cells in found.items()
    }


def mean_of(cells: Cells, *, without: str | None = None, only: str | None = None) -> np.ndarray:
    """The mean over cells, all or those of some categories."""
    chosen = [v for (_, c), v in cells.items() if c != without and only in (None, c)]
    return np.mean(chosen, 0)


def main(study: Path) -> None:
    """Print the three tables as Markdown."""
    settings = read_cells(study)
    if missing := [setting for setting in (CHOSEN, *OTHERS) if setting not in settings]:
        sys.exit(f"{study} holds no complete run of {missing[0]}; run experiment=closed_form first")
    print(f"Means over {len(settings[CHOSEN])} cells, percent\n")
    print(f"| setting | {' | '.join(METRICS.values())} |\n|---|{'---:|' * len(METRICS)}")
    for setting, cells in sorted(settings.items()):
        print(f"| {setting} | {' | '.join(f'{v:.2f}' for v in mean_of(cells))} |")
    rng = np.random.default_rng(0)
    for other, title in OTHERS.items():
        print(f"\n{CHOSEN}, less {other} ({title}), points\n")
        print("| metric | mean | 95 % | cells where it is worse |\n|---|---:|---:|---|")
        for i, metric in enumerate(METRICS.values()):
            cells = {c: v[i] - settings[other][c][i] for c, v in settings[CHOSEN].items()}
            values = np.array(list(cells.values()))
            draws = rng.choice(values, (5000, len(values))).mean(1)
            low, high = np.percentile(draws, (2.5, 97.5))
            worse = ", ".join(f"{c[1]} {c[0]} {v:.2f}" for c, v in cells.items() if v < 0)
            print(
                f"| {metric} | {values.mean():.2f} | {low:.2f} to {high:.2f} | {worse or 'none'} |"
            )
    print("\nSearched on the toys and one real category, reported on the other\n")
    print(
        "| searched without | by | chosen | there | chosen setting | " + CHOSEN + " | adamw, mean |"
    )
    print("|---|---|---|---:|---:|---:|---:|")
    solved = {setting: cells for setting, cells in settings.items() if setting.startswith("time")}
    for kept_out in REAL:
        for i in (0, 2):
            there = {s: mean_of(cells, without=kept_out)[i] for s, cells in solved.items()}
            best = max(there, key=lambda setting: there[setting])
            values = [mean_of(settings[s], only=kept_out)[i] for s in (best, CHOSEN, "adamw, mean")]
            row = [kept_out, list(METRICS.values())[i], best, f"oracle {there[best]:.2f}"]
            print(f"| {' | '.join(row + [f'{value:.2f}' for value in values])} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
