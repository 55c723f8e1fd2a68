"""Files of tensors with a checksum over all that they hold. None can run code when read."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cfa_lab.files import replacing
from cfa_lab.method.checksum import checksum
from cfa_lab.texts import refuse_no_file

UNREADABLE = (SafetensorError, OSError, ValueError)
"""What `read_tensors` raises of a file that is missing, damaged or none of this kind."""

CHECKSUM = "checksum"
"""The name, in a file's metadata, of the checksum over its tensors and its other metadata."""


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors, from any device, and texts about them; whole or not at all."""
    on_cpu = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    known = {**metadata, CHECKSUM: _checksum(on_cpu, metadata)}
    with replacing(path) as partial:
        partial.write_bytes(save(on_cpu, known))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file; raises one of `UNREADABLE`, also for a wrong checksum.

    Files of earlier versions have no checksum.
    """
    refuse_no_file(path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata() or {})
    others = {name: value for name, value in metadata.items() if name != CHECKSUM}
    if metadata.get(CHECKSUM, "") not in ("", _checksum(tensors, others)):
        raise ValueError("its checksum is wrong")
    return tensors, metadata


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    order = sorted(tensors)
    return checksum([tensors[name] for name in order], f"{order} {sorted(metadata.items())}")
