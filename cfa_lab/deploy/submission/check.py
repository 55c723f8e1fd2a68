"""A finished submission, a folder or an archive, looked through before it is uploaded."""

import io
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import tifffile
from PIL import Image

from cfa_lab.deploy.submission.form import MAPS, MASKS, Place, all_places, place_of
from cfa_lab.errors import UserError
from cfa_lab.progress import Phase, begin_phase, end_phase

SHOWN = 3
"""Of missing and superfluous files."""


@dataclass
class Found:
    """Height and width of the maps and masks that there are, by image."""

    maps: dict[Place, tuple[int, int]] = field(default_factory=dict)
    masks: dict[Place, tuple[int, int]] = field(default_factory=dict)

    def of(self, kind: str) -> dict[Place, tuple[int, int]]:
        """Those of one kind."""
        return self.maps if kind == MAPS else self.masks


def check(path: Path) -> Found:
    """Look at every file of a submission; raises UserError with the first thing that is wrong."""
    if not path.exists():
        raise UserError(f"{path} does not exist; give a submission's folder or its .tar.gz")
    found, others = Found(), []
    phase = begin_phase(Phase("checking", None, "files"))
    try:
        for name, content in _files(path):
            known = place_of(PurePosixPath(name))
            if known is None:
                others.append(name)
                continue
            kind, place = known
            try:
                found.of(kind)[place] = (_map_size if kind == MAPS else _mask_size)(content)
            except ValueError as error:
                raise UserError(f"{path}: {name} {error}") from error
            phase.advance()
    finally:
        end_phase(phase)
    _compare(path, found, others)
    return found


def _compare(path: Path, found: Found, others: list[str]) -> None:
    wanted = set(all_places())
    kinds = (MAPS, MASKS) if found.masks else (MAPS,)
    for kind in kinds:
        there = found.of(kind).keys()
        others += [place.path(kind) for place in there - wanted]
        if missing := sorted(place.path(kind) for place in wanted - there):
            raise UserError(
                f"{path} lacks {_some(missing)}; the server takes all objects and both sets "
                "together: name a run of each object"
            )
    if others:
        raise UserError(f"{path} holds {_some(sorted(others))}, which the server refuses; delete")
    for place, size in found.masks.items():
        if size != found.maps[place]:
            raise UserError(
                f"{path}: {place.path(MASKS)} is {size[0]} x {size[1]}, its map "
                f"{found.maps[place][0]} x {found.maps[place][1]}; both must have the image's size"
            )


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names below the submission's folder, and contents."""
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if not file.is_dir():
                yield file.relative_to(path).as_posix(), file.read_bytes()
        return
    try:
        with tarfile.open(path, "r:gz") as archive:
            yield from _members(archive)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is no whole .tar.gz ({error}); pack it again") from error


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in archive:
        if member.isdir():
            continue
        top, _, name = member.name.removeprefix("./").partition("/")
        if top in (MAPS, MASKS):
            raise UserError(
                f"{archive.name} has {top} at its top; the server wants it in a folder: pack the "
                "submission's folder itself"
            )
        content = archive.extractfile(member)
        yield name or member.name, b"" if content is None else content.read()


def _map_size(content: bytes) -> tuple[int, int]:
    try:
        values = tifffile.imread(io.BytesIO(content))
    except Exception as error:  # whatever a decoder raises on damaged bytes
        raise ValueError(f"is no TIFF that can be read ({error}); write it again") from error
    if values.ndim != 2 or values.dtype != np.float16:
        raise ValueError(
            f"is {values.dtype} of shape {values.shape}; the server wants float16 of shape "
            "(height, width)"
        )
    if not np.isfinite(values).all():
        raise ValueError("holds values that are no finite numbers; the server cannot rank them")
    return values.shape[0], values.shape[1]


def _mask_size(content: bytes) -> tuple[int, int]:
    try:
        with Image.open(io.BytesIO(content)) as image:
            values = np.asarray(image)
    except Exception as error:  # likewise
        raise ValueError(f"is no PNG that can be read ({error}); write it again") from error
    if values.ndim != 2 or values.dtype != np.uint8:
        raise ValueError(f"is {values.dtype} of shape {values.shape}; the server wants one channel")
    if not np.isin(values, (0, 255)).all():
        raise ValueError("has values other than 0 and 255; the server wants no others")
    return values.shape[0], values.shape[1]
