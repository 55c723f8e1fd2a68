"""A PNG's rows as they were before they were filtered (section 9 of the standard), compiled."""

import numpy as np

from cfa_lab.kernel_cache import compiled


@compiled
def unfilter(rows: np.ndarray, step: int, out: np.ndarray) -> None:
    """Of rows (h, 1 + n) uint8, each after its filter's number, the bytes (h, n).

    `step` is the bytes of a pixel; numbers above 4 are taken for 4.
    """
    height, size = out.shape
    for y in range(height):
        kind = rows[y, 0]
        for j in range(size):
            out[y, j] = rows[y, 1 + j]
        if kind == 1:
            for j in range(step, size):
                out[y, j] += out[y, j - step]
        elif kind == 2 and y > 0:
            for j in range(size):
                out[y, j] += out[y - 1, j]
        elif kind == 3:
            for j in range(size):
                left = np.int32(out[y, j - step]) if j >= step else np.int32(0)
                above = np.int32(out[y - 1, j]) if y > 0 else np.int32(0)
                out[y, j] += np.uint8((left + above) >> 1)
        elif kind == 4:
            for j in range(size):
                left = np.int32(out[y, j - step]) if j >= step else np.int32(0)
                above = np.int32(out[y - 1, j]) if y > 0 else np.int32(0)
                corner = np.int32(out[y - 1, j - step]) if j >= step and y > 0 else np.int32(0)
                by_left, by_above = abs(above - corner), abs(left - corner)
                by_corner = abs(left + above - 2 * corner)
                if by_left <= by_above and by_left <= by_corner:
                    out[y, j] += np.uint8(left)
                elif by_above <= by_corner:
                    out[y, j] += np.uint8(above)
                else:
                    out[y, j] += np.uint8(corner)
