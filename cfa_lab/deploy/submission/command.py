"""`python -m cfa_lab submission`: what MVTec AD 2's benchmark server takes, written and checked."""

import argparse
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

from cfa_lab.deploy.arguments import add_network
from cfa_lab.deploy.load import model_folder, open_runtime
from cfa_lab.deploy.run_data import table_of_run
from cfa_lab.deploy.submission.check import Found, check
from cfa_lab.deploy.submission.form import MAPS, MASKS, NUM_IMAGES, SETS
from cfa_lab.deploy.submission.write import private_images, write_category
from cfa_lab.errors import Parser, UserError
from cfa_lab.files import replacing, user_path, write_atomically
from cfa_lab.progress import each, show_progress
from cfa_lab.records import names
from cfa_lab.texts import read_json
from cfa_lab.training.description import ModelDescription
from cfa_lab.training.model_files import load_description

COMPRESSION = 6
"""gzip's level; maps shrink little, whatever it is."""


def main(arguments: list[str]) -> None:
    """Write, check and pack a submission, or check one that is there."""
    options = _parser().parse_args(arguments)
    if bool(options.runs) == (options.check is not None):
        raise UserError("give run folders, or a submission with --check; not both")
    with show_progress():
        if options.check is not None:
            _tell_checked(check(options.check))
            return
        runs = _by_category(options.runs)
        noted = _note_of(options.out)
        for category, run in sorted(runs.items()):
            _write(category, run, options, noted)
        if missing := [name for name in NUM_IMAGES if name not in noted]:
            print(
                f"not packed     {', '.join(missing)} missing; the server takes all objects "
                "together: name their runs with the same --out"
            )
            return
        _tell_checked(check(options.out))
        print(f"packed         {_pack(options.out)}; upload it at https://benchmark.mvtec.com")


def _by_category(arguments: list[Path]) -> dict[str, Path]:
    """Object -> run; raises UserError for two of one object, and for another data set's."""
    found: dict[str, Path] = {}
    for run in (run for path in arguments for run in _runs(path)):
        category = load_description(model_folder(run)).category
        if category not in NUM_IMAGES:
            raise UserError(
                f"{run} is a run of {category!r}, no object of MVTec AD 2; its objects: "
                f"{', '.join(NUM_IMAGES)}"
            )
        if category in found:
            raise UserError(
                f"{found[category]} and {run} are both runs of {category}; name one of each object"
            )
        found[category] = run
    return found


def _runs(path: Path) -> list[Path]:
    """The run that a path names, or the runs in that folder."""
    if (path / names.MODEL_DESCRIPTION).is_file() or (path / names.RECORD).is_file():
        return [path]
    below = sorted({file.parent for file in path.glob(f"*/{names.RECORD}")})
    return below or [path]  # of which `model_folder` says what is wrong


def _write(
    category: str, run: Path, options: argparse.Namespace, noted: dict[str, dict[str, Any]]
) -> None:
    model = model_folder(run)
    description = load_description(model)
    threshold = None if options.no_masks else _threshold(run, description)
    images = private_images(_root(run, options.root), category)
    note = {"run": str(run), "run_key": description.run_key, "pixel_threshold": threshold}
    if noted.get(category) not in (None, note):  # of another run: none of it may stay
        for kind in (MAPS, MASKS):
            shutil.rmtree(options.out / kind / category, ignore_errors=True)
    noted.pop(category, None)
    write_atomically(_note(options.out), json.dumps(noted | {category: note}, indent=2) + "\n")
    runtime = open_runtime(
        model,
        device=options.device,
        num_threads=description.num_threads,
        backbone_weights=options.backbone_weights,
        trust_code=options.trust_code,
    )
    written = sum(1 for _ in write_category(runtime, images, options.out, threshold))
    noted[category] = note
    said = "no masks" if threshold is None else f"masks from {threshold:.6g} on"
    print(f"{category:<14} {written} of {len(images)} images scored, {said}  ({run})")
    if description.image.crop is not None or description.image.resize == "shorter_side":
        print(
            "               the crop leaves pixels unseen: they get the map's minimum, and no mask"
        )


def _threshold(run: Path, description: ModelDescription) -> float:
    if description.thresholds is None:
        raise UserError(
            f"{run} has no thresholds; images of validation/good set them: python -m cfa_lab "
            f"threshold {run} <data set>/{description.category}/validation (or give --no-masks)"
        )
    return description.thresholds.pixel


def _root(run: Path, given: Path | None) -> Path:
    if given is not None:
        return given
    table = table_of_run(run)
    if table is None:
        raise UserError(f"the data set of {run} is not there any more; say where with --root")
    return Path(table.root)


def _note(folder: Path) -> Path:
    """Beside the folder, in which no other file may lie: what each object was scored with."""
    return folder.with_name(f"{folder.name}.json")


def _note_of(folder: Path) -> dict[str, dict[str, Any]]:
    path = _note(folder)
    if not path.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise UserError(
                f"{folder} is not empty, and no {path.name} beside it says which runs it is of; "
                "name a new folder with --out"
            )
        return {}
    try:
        noted = read_json(path)
        return {category: dict(note) for category, note in noted.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it and {folder}") from error


def _tell_checked(found: Found) -> None:
    masks = f"{len(found.masks)} masks" if found.masks else "no masks, so no SegF1"
    print(f"checked        {len(found.maps)} maps, {masks}: as the server wants them")


def _pack(folder: Path) -> str:
    """Write the archive beside the folder, whole or not at all."""
    path = folder.with_name(f"{folder.name}.tar.gz")
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    with (
        replacing(path) as partial,
        tarfile.open(partial, "w:gz", compresslevel=COMPRESSION) as archive,
    ):
        for file in each(files, "packing", len(files), "files"):
            inner = f"{folder.name}/{file.relative_to(folder).as_posix()}"
            archive.add(file, inner, filter=_without_owner)
    return f"{path}, {path.stat().st_size / 1e6:.0f} MB"


def _without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _parser() -> argparse.ArgumentParser:
    sets = " and ".join(SETS)
    parser = Parser(
        prog="python -m cfa_lab submission",
        description=f"Score MVTec AD 2's {sets} with a run of each object, and pack maps and masks "
        "for its benchmark server; or check what is packed.",
    )
    parser.add_argument(
        "runs", nargs="*", type=user_path, help="run folders, or a folder that holds them"
    )
    parser.add_argument("--check", type=user_path, metavar="PATH", help="a folder or .tar.gz")
    parser.add_argument(
        "--out",
        type=user_path,
        default=Path("submission"),
        metavar="DIR",
        help="where to write; beside it DIR.tar.gz; default: submission",
    )
    parser.add_argument("--root", type=user_path, metavar="DIR", help="where the data set is now")
    parser.add_argument("--no-masks", action="store_true", help="maps alone: no SegF1")
    add_network(parser)
    return parser
