"""Maps from the network's input to the window of the image they show; numpy, no torch."""

import numpy as np

from cfa_lab.data.geometry import Placement, Size


def to_window(input_map: np.ndarray, placement: Placement) -> np.ndarray:
    """A map (h, w) float32 at the network's input size -> (H, W) of the window that was scored."""
    return resize(content(input_map, placement), placement.window[2:])


def content(input_map: np.ndarray, placement: Placement) -> np.ndarray:
    """The part of a map (h, w) at the network's input size that shows the image."""
    top, left, height, width = placement.content
    return input_map[top : top + height, left : left + width]


def resize(values: np.ndarray, size: Size) -> np.ndarray:
    """Resize (h, w) float32 bilinearly, corners not aligned, as torch's `interpolate` does."""
    if values.shape == size:
        return values
    for axis, length in enumerate(size):
        low, high, share = _taps(values.shape[axis], length)
        share = share[:, None] if axis == 0 else share
        values = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return values


def _taps(length: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each of `size` places: the places before and after it in `length`, the latter's share."""
    scale = np.float64(np.float32(length / size))  # torch rounds it, and then once more
    place = np.maximum(scale * (np.arange(size) + 0.5) - 0.5, 0).astype(np.float32)
    low = np.minimum(place.astype(np.int64), length - 1)
    return low, np.minimum(low + 1, length - 1), (place - low).astype(np.float32)
