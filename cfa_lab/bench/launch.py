"""Many short runs side by side by `hydra/launcher=parallel`: the share of time beside the runs."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from cfa_lab.bench.pictures import write_category
from cfa_lab.bench.processes import run_command
from cfa_lab.bench.report import new_parser, show
from cfa_lab.bench.run import arguments_of
from cfa_lab.files import user_path
from cfa_lab.records import names
from cfa_lab.records.record import record_of

OURS = "this version"


def run_bench_launch(
    *,
    num_jobs: int = 200,
    num_workers: int = 2,
    epochs: int = 25,
    size: int = 64,
    beside: Path | None = None,
) -> dict[str, Any]:
    """Time a study of short runs, and another checkout's with the same interpreter if one is named.

    Each checkout runs two jobs first, which are not counted: they keep the features and compiled
    kernels. Returns `setting` and `results`: `seconds` of the command, `inside` all runs by their
    records, `per_run`, and `outside`, the share of all processes' time that is not the runs':
    start-up, imports, composing, handing over, settings and records, and waiting.
    """
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_category(folder, num_train=8, num_test=6, size=size)
        contestants = {OURS: Path(__file__).parents[2]} | ({"beside": beside} if beside else {})
        for name, checkout in contestants.items():
            # one thread each, or two runs would fight for the cores
            common = [
                *arguments_of(folder, "resnet18", size, 0, "exact", "lab"),
                *("trainer.num_threads=1", "optimizer=adamw", f"trainer.epochs={epochs}"),
                *("evaluation.cases=0", f"features.folder='{folder / name / 'features'}'"),
                *("hydra/launcher=parallel", f"hydra.launcher.n_jobs={num_workers}"),
            ]
            for part, seeds in ("first", range(-2, 0)), ("study", range(num_jobs)):
                place = folder / name / part
                finished = run_command(
                    [
                        *(sys.executable, "-m", "cfa_lab", "-m", *common),
                        f"seed={','.join(str(seed % 10**6) for seed in seeds)}",
                        f"hydra.sweep.dir='{place}'",
                    ],
                    environment={"PYTHONPATH": f"{checkout}{os.pathsep}{temporary}"},
                )
            files = sorted(place.glob(f"*/{names.RECORD}"))
            inside = sum(sum(record_of(path.parent)["timing"].values()) for path in files)
            results[name] = {
                "seconds": finished.seconds,
                "inside": inside,
                "per_run": inside / len(files),
                "outside": 1 - inside / (num_workers * finished.seconds),
                "num_runs": len(files),
            }
    setting = {"num_jobs": num_jobs, "num_workers": num_workers, "epochs": epochs, "size": size}
    return {"setting": setting, "results": results}


def main(argv: list[str]) -> None:
    """`python -m cfa_lab bench launch`: print the comparison, and write it with `--json`."""
    parser = new_parser("launch", __doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--epochs", type=int, default=25, help="of each run; sets how long it takes"
    )
    parser.add_argument("--size", type=int, default=64, help="height and width of the images")
    parser.add_argument("--beside", type=user_path, help="another checkout, run by the same Python")
    options = parser.parse_args(argv)
    report = run_bench_launch(
        num_jobs=options.jobs,
        num_workers=options.workers,
        epochs=options.epochs,
        size=options.size,
        beside=options.beside,
    )
    show(
        f"{options.jobs} runs, {options.workers} at once",
        report,
        {
            "seconds": lambda result: f"{result['seconds']:.1f}",
            "seconds per run": lambda result: f"{result['per_run']:.2f}",
            "outside the runs": lambda result: f"{result['outside']:.0%}",
        },
        options.json,
    )
