"""`python -m cfa_lab predict`: score image files with a trained detector."""

import argparse
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from cfa_lab.deploy import watch
from cfa_lab.deploy.arguments import add_model, open_model
from cfa_lab.deploy.intake import WORKERS, batches, modified_at
from cfa_lab.deploy.runtime import Runtime
from cfa_lab.deploy.scan import scored_batches
from cfa_lab.deploy.sources import STANDARD_INPUT, named_images
from cfa_lab.deploy.table import PredictionTable
from cfa_lab.deploy.writer import Outputs, Writer
from cfa_lab.errors import Parser, UserError
from cfa_lab.files import user_path
from cfa_lab.progress import phase, show_progress
from cfa_lab.training.description import ModelDescription


def main(arguments: list[str]) -> None:
    """Score images, or watch a folder; exit code 1 where an image could not be scored."""
    options = _parser().parse_args(arguments)
    if bool(options.images) == (options.watch is not None):
        raise UserError("give images, folders, globs or -, or a folder with --watch; not both")
    for name in ("batch_size", "threads", "workers"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} is {value}; allowed: 1 or more")
    runtime = open_model(options)
    folder = options.out or _new_folder()
    outputs = _outputs(options, runtime.description, folder)
    if options.watch is not None:
        watch.run(runtime, options.watch, outputs, settle=options.settle)
        return
    paths, total = named_images(options.images), None
    if STANDARD_INPUT not in options.images:
        paths = iter(listed := list(paths))
        total = len(listed)
    with PredictionTable(folder, resume=options.resume) as table:
        counts = predict(runtime, paths, table, outputs, workers=options.workers, total=total)
    _say_what_was_found(runtime, outputs, table, counts)


def predict(
    runtime: Runtime,
    paths: Iterable[Path],
    table: PredictionTable,
    outputs: Outputs,
    *,
    workers: int = WORKERS,
    total: int | None = None,
) -> dict[str, int]:
    """Score all image files that the table does not have yet, and write what is wanted of each.

    Returns how many were `scored`, how many there already (`reused`), and images `per_second`.
    """
    done = frozenset(table.done)
    counts = {"scored": 0, "reused": 0}

    def waiting() -> Iterator[Path]:
        for path in paths:
            if (str(path), modified_at(path)) in done:
                counts["reused"] += 1
                shown.skip()
            else:
                yield path

    def count(row: dict[str, Any]) -> None:
        counts["scored"] += row["error"] is None
        shown.advance()

    taken = batches(
        waiting(),
        runtime.description.image,
        batch_size=runtime.batch_size,
        workers=workers,
        longest_side=outputs.longest_side,
    )
    with (
        show_progress(),
        phase("scoring", total, "images") as shown,
        Writer(table, outputs, count) as writer,
    ):
        for batch in scored_batches(runtime, taken):
            for result in batch:
                writer.put(result)
    return counts | {"per_second": round(shown.per_second)}


def _outputs(options: argparse.Namespace, description: ModelDescription, folder: Path) -> Outputs:
    own = description.thresholds
    return Outputs(
        folder=folder,
        image_threshold=_first(options.threshold, own and own.image),
        pixel_threshold=_first(options.pixel_threshold, own and own.pixel),
        colour_range=None if options.no_overlays else description.colour_range,
        maps=options.maps,
    )


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _say_what_was_found(
    runtime: Runtime, outputs: Outputs, table: PredictionTable, counts: dict[str, int]
) -> None:
    print(f"model       {runtime.arithmetic}")
    reused = f", {counts['reused']} there already" if counts["reused"] else ""
    speed = f", {counts['per_second']} a second" if counts["scored"] else ""
    print(f"images      {counts['scored']} scored{speed}{reused}")
    if outputs.image_threshold is None:
        print(
            "decision    none: the model has no threshold; set one from images of normal parts with"
            "\n            python -m cfa_lab threshold RUN IMAGES..., or give --threshold"
        )
    else:
        print(
            f"decision    {table.num_defects} of {len(table.done)} images are defects, "
            f"their score at or above {outputs.image_threshold:.6g}"
        )
    print(f"table       {table.path}")
    if table.num_errors:
        raise UserError(
            f"{table.num_errors} images could not be scored; the column error of {table.path} "
            "says why"
        )


def _new_folder() -> Path:
    return Path("predictions") / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m cfa_lab predict",
        description="Score images with a trained detector; write a table and overlays.",
    )
    add_model(parser)
    parser.add_argument(
        "images", nargs="*", help="files, folders (at any depth), globs, or - for paths on stdin"
    )
    parser.add_argument(
        "--out", type=user_path, metavar="DIR", help="where to write; default: predictions/<time>"
    )
    parser.add_argument("--threshold", type=float, help="of the score, in place of the model's")
    parser.add_argument("--pixel-threshold", type=float, help="of the map, in place of the model's")
    parser.add_argument("--no-overlays", action="store_true", help="write the table only")
    parser.add_argument("--maps", action="store_true", help="write float16 TIFF maps, too")
    parser.add_argument(
        "--resume", action="store_true", help="go on with --out; nothing is scored twice"
    )
    parser.add_argument(
        "--workers", type=int, default=WORKERS, metavar="N", help="threads that decode"
    )
    parser.add_argument(
        "--watch",
        type=user_path,
        metavar="FOLDER",
        help="score images as they appear there, one JSON line each on standard output",
    )
    parser.add_argument(
        "--settle",
        type=float,
        default=watch.SETTLE_SECONDS,
        metavar="S",
        help="with --watch: seconds that size and time of a file stand still before it is read",
    )
    return parser
