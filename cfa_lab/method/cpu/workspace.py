"""Memory that a thread keeps from one image to the next."""

import torch
from torch import Tensor


class Workspace:
    """Buffers of one thread: fetched anew they would cost more than what is done in them."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def take(self, name: str, rows: int, columns: int, dtype: torch.dtype) -> Tensor:
        """An array (rows, columns) of any content; a name's next one overwrites the last."""
        buffer = self._buffers.get(name)
        num_bytes = rows * columns * dtype.itemsize
        if buffer is None or len(buffer) < num_bytes:
            buffer = self._buffers[name] = torch.empty(num_bytes, dtype=torch.uint8)
        return buffer[:num_bytes].view(dtype).view(rows, columns)
