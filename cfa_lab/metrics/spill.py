"""Keeping large states on disk: tensors backed by a file, which work wherever tensors do."""

import contextlib
import itertools
import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from cfa_lab.errors import UserError


def spilled(chunks: Iterable[Tensor], *, folder: Path | None) -> list[Tensor]:
    """The same values in the same order, with every run of chunks in memory moved to one file.

    `folder` None: the system's temporary folder. The file loses its name as soon as it is mapped,
    so that its space is freed with the tensor, or with the process however that ends.
    """
    moved: list[Tensor] = []
    for (on_disk, _), group in itertools.groupby(chunks, key=lambda c: (is_on_disk(c), c.dtype)):
        run = list(group)
        moved.extend(run if on_disk else [_to_file(run, folder=folder)])
    return moved


def is_on_disk(chunk: Tensor) -> bool:
    """Whether a tensor's values live in a file."""
    return chunk.untyped_storage().filename is not None


def num_bytes(chunks: Iterable[Tensor], *, on_disk: bool) -> int:
    """Bytes of the chunks that are on disk, or of those that are not."""
    return sum(
        chunk.numel() * chunk.element_size() for chunk in chunks if is_on_disk(chunk) == on_disk
    )


def _to_file(chunks: list[Tensor], *, folder: Path | None) -> Tensor:
    path = None
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix="cfa-lab-", delete=False) as file:
            path = Path(file.name)
            for chunk in chunks:
                file.write(chunk.cpu().numpy().data)
        size = sum(chunk.numel() for chunk in chunks)
        return torch.from_file(str(path), shared=True, size=size, dtype=chunks[0].dtype)
    except OSError as error:
        raise UserError(
            f"cannot keep scores on disk in {folder or tempfile.gettempdir()}: {error.strerror}; "
            "free some space, choose another spill_folder, or leave spill_bytes out"
        ) from error
    finally:
        if path is not None:
            with contextlib.suppress(PermissionError):  # Windows keeps the name while it is mapped
                path.unlink()
