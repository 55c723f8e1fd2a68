"""Many runs in one process: whether anything grows with their number, and how fast they are found
again. It reads /proc, so it needs Linux."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cfa_lab.bench.pictures import write_category
from cfa_lab.bench.processes import run_command
from cfa_lab.bench.report import new_parser, show
from cfa_lab.bench.run import arguments_of
from cfa_lab.errors import UserError
from cfa_lab.records import names
from cfa_lab.vocabulary import TRACKER_NAMES

COUNTED = ("memory_mb", "descriptors", "threads", "temporary_files")
SECONDS_BETWEEN = 0.02


def run_bench_many(
    *, num_runs: int = 200, epochs: int = 1, size: int = 64, tracker: str = "none"
) -> dict[str, Any]:
    """Make short runs in one process by `-m`, and look at it from outside as each one ends.

    Then the study is listed by `plan` and reused by the same `-m`. Returns `setting` and `results`:
    for each of `COUNTED` its median over the first and over the last tenth of the runs (the very
    first ones aside, which load and compile), and `seconds` of each command.
    """
    if not Path("/proc/self/status").is_file():
        raise UserError("bench many reads /proc, which this machine does not have; use Linux")
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        (place / "tmp").mkdir()
        write_category(place, num_train=8, num_test=6, size=size)
        settings = [
            *arguments_of(place, "resnet18", size, 0, "exact", "lab"),
            *("trainer.num_threads=1", f"tracker={tracker}"),
            *("optimizer=adamw", f"trainer.epochs={epochs}", "evaluation.cases=1"),
            *(f"features.folder='{place / 'features'}'", f"hydra.sweep.dir='{place / 'study'}'"),
            f"seed={','.join(map(str, range(num_runs)))}",
        ]
        command = [sys.executable, "-m", "cfa_lab"]
        environment = {"TMPDIR": str(place / "tmp"), "WANDB_MODE": "offline"}
        began = time.perf_counter()
        seen = _watched([*command, "-m", *settings], place, environment)
        seconds = {"runs": time.perf_counter() - began}
        for name, word in (("plan", "plan"), ("reuse", "-m")):
            finished = run_command([*command, word, *settings], environment=environment)
            if f"{num_runs} done" not in finished.output:
                raise UserError(f"{word} did not find the {num_runs} runs: {finished.output}")
            seconds[name] = finished.seconds
    if len(seen) < num_runs:
        raise UserError(f"only {len(seen)} of {num_runs} runs were seen to end; try again")
    tenth = max(2, num_runs // 10)
    warm = min(tenth, num_runs - 2 * tenth)
    parts = {"first": seen[warm : warm + tenth], "last": seen[-tenth:]}
    results = {
        part: {key: statistics.median(look[key] for look in looks) for key in COUNTED}
        for part, looks in parts.items()
    }
    setting = {"num_runs": num_runs, "epochs": epochs, "size": size, "tracker": tracker}
    return {"setting": setting, "results": results, "seconds": seconds}


def _watched(
    command: list[str], place: Path, environment: dict[str, str]
) -> list[dict[str, float]]:
    """The least that a multirun holds within each of its runs, seen from outside: what it holds for
    good."""
    seen: list[dict[str, float]] = []
    least: dict[str, float] = {}
    study = place / "study"
    with (place / "said.txt").open("w+") as said:
        process = subprocess.Popen(
            command, env=os.environ | environment, stdout=said, stderr=subprocess.STDOUT
        )
        try:
            while process.poll() is None:
                look = _look(process.pid, place / "tmp")
                least = {key: min(value, least.get(key, value)) for key, value in look.items()}
                ended = sum(1 for _ in study.glob(f"*/{names.RECORD}"))
                if ended > len(seen) and least:
                    seen += [least] * (ended - len(seen))
                    least = {}
                time.sleep(SECONDS_BETWEEN)
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            said.seek(0)
            last = said.read().strip().splitlines()[-1:] or ["it printed nothing"]
            raise UserError(f"the multirun ended with code {process.returncode}: {last[0]}")
    return seen


def _look(process: int, temporary: Path) -> dict[str, float]:
    """What a process holds now; nothing if it has just ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        values = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        return {
            "memory_mb": int(values["VmRSS"].split()[0]) / 1024,
            "descriptors": sum(1 for _ in Path(f"/proc/{process}/fd").iterdir()),
            "threads": int(values["Threads"]),
            "temporary_files": sum(len(files) for _, _, files in os.walk(temporary)),
        }
    except (OSError, KeyError):
        return {}


def main(argv: list[str]) -> None:
    """`python -m cfa_lab bench many`: print the comparison, and write it with `--json`."""
    parser = new_parser("many", __doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--size", type=int, default=64, help="height and width of the images")
    parser.add_argument("--tracker", choices=TRACKER_NAMES, default="none")
    options = parser.parse_args(argv)
    if options.runs < 10:
        raise UserError(f"--runs is {options.runs}; allowed: 10 or more")
    report = run_bench_many(
        num_runs=options.runs, epochs=options.epochs, size=options.size, tracker=options.tracker
    )
    columns = {
        key.replace("_", " "): lambda result, key=key: f"{result[key]:.0f}" for key in COUNTED
    }
    show(f"{options.runs} runs in one process", report, columns, options.json)
    told = ", ".join(f"{name} {seconds:.1f}" for name, seconds in report["seconds"].items())
    print(f"seconds: {told}")
