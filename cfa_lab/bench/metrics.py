"""Time and memory of the metrics, next to scikit-learn with a literal AUPRO and to torchmetrics."""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from cfa_lab.bench.metric_contestants import CONTESTANTS, synthetic_maps
from cfa_lab.bench.processes import in_own_process, peak_bytes
from cfa_lab.files import user_path

OURS = "cfa_lab"


def run_bench_metrics(
    size: int = 256, num_images: int = 83, *, repeats: int = 3, seed: int = 0
) -> dict[str, Any]:
    """Run every contestant on the same synthetic maps, each in a process of its own.

    Returns `setting` and `results`: for each contestant `seconds` (best of `repeats`, libraries
    imported and warm), `peak_bytes` (resident, beyond data and libraries), `ratio` (its seconds
    over ours), `metrics`, and `difference` (its metrics minus ours).
    """
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        maps, masks = synthetic_maps(size, num_images, seed=seed)
        np.save(Path(folder) / "maps.npy", maps)
        np.save(Path(folder) / "masks.npy", masks)
        defect_ratio = float(masks.mean())
        del maps, masks
        for name in CONTESTANTS:
            results[name], _ = in_own_process(_measure, name, folder, repeats)
    ours = results[OURS]
    for result in results.values():
        result["ratio"] = result["seconds"] / ours["seconds"]
        result["difference"] = {
            metric: value - ours["metrics"][metric] for metric, value in result["metrics"].items()
        }
    setting = {"size": size, "num_images": num_images, "defect_ratio": defect_ratio}
    return {"setting": setting | {"repeats": repeats, "seed": seed}, "results": results}


def main(argv: list[str]) -> None:
    """`python -m cfa_lab bench metrics`: print the comparison, and write it with `--json`."""
    parser = argparse.ArgumentParser(prog="cfa_lab bench metrics", description=__doc__)
    parser.add_argument("--size", type=int, default=256, help="height and width of the maps")
    parser.add_argument("--images", type=int, default=83, help="number of maps")
    parser.add_argument("--repeats", type=int, default=3, help="runs each, the best one counts")
    parser.add_argument("--json", type=user_path, help="file to write the measurements to")
    options = parser.parse_args(argv)
    report = run_bench_metrics(options.size, options.images, repeats=options.repeats)
    Console().print(_table(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def _table(report: dict[str, Any]) -> Table:
    setting, results = report["setting"], report["results"]
    table = Table(title=f"{setting['num_images']} maps of {setting['size']} x {setting['size']}")
    table.add_column("")
    for name in results:
        table.add_column(name, justify="right")
    table.add_row("seconds", *(f"{result['seconds']:.3f}" for result in results.values()))
    table.add_row("times ours", *(f"{result['ratio']:.1f}" for result in results.values()))
    table.add_row("peak MB", *(f"{result['peak_bytes'] / 1e6:.0f}" for result in results.values()))
    for metric, value in results[OURS]["metrics"].items():
        others = [results[name]["difference"].get(metric) for name in results if name != OURS]
        cells = ["-" if other is None else f"{other:+.1e}" for other in others]
        table.add_row(metric, f"{value:.6f}", *cells)
    return table


def _measure(name: str, folder: str, repeats: int) -> dict[str, Any]:
    """In a fresh process: load the data, warm up on tiny maps, then time and watch the memory."""
    maps, masks = (np.load(Path(folder) / f"{kind}.npy") for kind in ("maps", "masks"))
    contestant = CONTESTANTS[name]
    contestant(*synthetic_maps(16, 8, seed=0))
    before = peak_bytes()
    seconds, metrics = [], {}
    for _ in range(repeats):
        start = time.perf_counter()
        metrics = contestant(maps, masks)
        seconds.append(time.perf_counter() - start)
    return {"seconds": min(seconds), "peak_bytes": peak_bytes() - before, "metrics": metrics}
