"""A study's W&B runs in one folder of links, which `wandb leet` shows side by side."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from cfa_lab.files import replacing
from cfa_lab.records import names
from cfa_lab.records.record import record_of


def link_runs(study: Path, folders: Iterable[Path]) -> Path | None:
    """Make `study/wandb` lead to what wandb wrote below run folders; returns it, None if nothing.

    A run that stands for another one leads to that one's. Links that lead nowhere go; where there
    can be no links, there is none.
    """
    place = study / names.WANDB
    found = {part.name: part for folder in folders for part in _parts(folder)}
    if not found:
        return None
    with suppress(OSError):
        place.mkdir(exist_ok=True)
        for link in place.iterdir():
            if link.is_symlink() and not link.exists():
                link.unlink()
        for name, part in found.items():
            if not (place / name).exists():
                with replacing(place / name, durable=False) as partial:
                    partial.symlink_to(os.path.relpath(part, place), target_is_directory=True)
        return place
    return None


def _parts(folder: Path) -> list[Path]:
    origin = folder / str(record_of(folder).get("reused_from") or ".")
    return sorted(Path(os.path.normpath(origin)).glob(f"{names.WANDB}/*run-*/"))
