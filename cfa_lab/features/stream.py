"""Feature levels too large for memory: images are fetched when they are asked for."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from cfa_lab.method.pyramid import StoredLevel, select

Fetch = Callable[[np.ndarray], list[Tensor]]
"""From image indices (b,) to their levels (b, c_l, h_l, w_l)."""


class StreamedLevel:
    """One level (n, c, h, w) that is fetched, not held; indexed by an array or a slice of images.

    The levels of one pyramid share a `Stream`, since they are asked for the same images in turn.
    """

    def __init__(self, stream: "Stream", number: int, shape: torch.Size, device: torch.device):
        self.shape = shape
        self.device = device
        self._stream = stream
        self._number = number

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: np.ndarray | slice) -> Tensor:
        return self._stream.fetch(np.arange(len(self))[index])[self._number]


class SomeImages:
    """Some images (m, c, h, w) of a level, in the order of `index` (m,); copied when asked for."""

    def __init__(self, level: StoredLevel, index: np.ndarray):
        self.shape = torch.Size((len(index), *level.shape[1:]))
        self._level, self._index = level, index

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: np.ndarray | slice) -> Tensor:
        return select(self._level, self._index[index])


class Stream:
    """Fetches images and holds on to the last ones."""

    def __init__(self, fetch: Fetch):
        self._fetch = fetch
        self._index = np.empty(0, dtype=np.int64)
        self._levels: list[Tensor] = []

    def fetch(self, index: np.ndarray) -> list[Tensor]:
        """The levels (b, c_l, h_l, w_l) of some images."""
        if not self._levels or not np.array_equal(index, self._index):
            self._levels = []  # frees the last ones before the next are made
            self._levels, self._index = self._fetch(index), index
        return self._levels
