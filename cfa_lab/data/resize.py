"""Images in floating point at another size: the numbers that Pillow gives, all channels at once.

Pillow resizes floating point one channel at a time, and one value at a time.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image

from cfa_lab.data.geometry import Size
from cfa_lab.kernel_cache import compiled

ROWS = 32
"""Rows that are resized side by side."""


def resize(
    values: np.ndarray,
    size: Size,
    resampling: Image.Resampling,
    scale: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> np.ndarray:
    """Resize (H, W, C) to (h, w, C) float32 as Pillow does, columns first, sums in float64.

    `scale` makes float32 of some rows of `values`, while they are at hand.
    """
    height, width = size
    if width != values.shape[1]:
        found = np.empty((values.shape[0], width, values.shape[2]), np.float32)
        ends, weights = taps(values.shape[1], width, resampling)
        for top in range(0, len(values), ROWS):
            rows = np.ascontiguousarray(scale(values[top : top + ROWS]))
            _columns(rows, ends, weights, found[top : top + ROWS])
    else:
        found = np.ascontiguousarray(scale(values))
    if height != found.shape[0]:
        rows = found.reshape(found.shape[0], -1)
        down = np.empty((height, rows.shape[1]), np.float32)
        _rows(rows, *taps(len(rows), height, resampling), down)
        found = down.reshape(height, width, -1)
    return found


@lru_cache(maxsize=64)
def taps(length: int, size: int, resampling: Image.Resampling) -> tuple[np.ndarray, np.ndarray]:
    """Where each of `size` places looks in `length`: begin and end (size, 2), weights (size, n).

    In Pillow's order of operations (`precompute_coeffs` in its Resample.c), for the same bits.
    """
    function, reach = FILTERS[resampling]
    scale = length / size
    stretch = max(scale, 1.0)
    support = reach * stretch
    ends = np.zeros((size, 2), np.int64)
    weights = np.zeros((size, 2 * math.ceil(support) + 1))
    for place in range(size):
        centre = (place + 0.5) * scale
        first, end = max(int(centre - support + 0.5), 0), min(int(centre + support + 0.5), length)
        found = [function((i - centre + 0.5) * (1.0 / stretch)) for i in range(first, end)]
        total = 0.0
        for weight in found:
            total += weight
        ends[place] = first, end
        weights[place, : end - first] = [weight / total if total else weight for weight in found]
    return ends, weights


def _bilinear(x: float) -> float:
    return max(1.0 - abs(x), 0.0)


def _bicubic(x: float) -> float:
    x = abs(x)
    if x < 1:
        return ((-0.5 + 2.0) * x - (-0.5 + 3.0)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * -0.5 if x < 2 else 0.0


def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / 3) if -3 <= x < 3 else 0.0


def _sinc(x: float) -> float:
    x *= math.pi
    return math.sin(x) / x if x else 1.0


FILTERS: dict[Image.Resampling, tuple[Callable[[float], float], float]] = {
    Image.Resampling.BILINEAR: (_bilinear, 1.0),
    Image.Resampling.BICUBIC: (_bicubic, 2.0),
    Image.Resampling.LANCZOS: (_lanczos, 3.0),
}
"""Each a function, and from where on it is 0."""


@compiled
def _rows(values: np.ndarray, ends: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
    """Of (H, n) to (h, n)."""
    size = values.shape[1]
    total = np.empty(size)
    for place in range(len(ends)):
        for j in range(size):
            total[j] = 0.0
        first = ends[place, 0]
        for i in range(first, ends[place, 1]):
            weight, part = weights[place, i - first], values[i]
            for j in range(size):
                total[j] += part[j] * weight
        for j in range(size):
            out[place, j] = total[j]


@compiled
def _columns(values: np.ndarray, ends: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
    """Of (R, W, C) to (R, w, C): as rows, once the R and C of a column stand side by side."""
    height, width, channels = values.shape
    beside = np.empty((width, height * channels), np.float32)
    down = np.empty((len(ends), height * channels), np.float32)
    for row in range(height):
        for i in range(width):
            for c in range(channels):
                beside[i, row * channels + c] = values[row, i, c]
    _rows(beside, ends, weights, down)
    for row in range(height):
        for place in range(len(ends)):
            for c in range(channels):
                out[row, place, c] = down[place, row * channels + c]
