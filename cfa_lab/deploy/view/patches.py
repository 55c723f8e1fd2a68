"""Which part of an image a patch shows, and which patch shows a point of it."""

from cfa_lab.data.geometry import Box, Placement, Size


def patch_box(
    placement: Placement, input_size: Size, grid: Size, position: tuple[int, int]
) -> Box | None:
    """The part of the original image under a patch (row, column); None where it shows padding.

    Never less than a pixel, and within the window that the network saw.
    """
    rows, columns = (_span(placement, input_size, grid, axis, position[axis]) for axis in range(2))
    if rows is None or columns is None:
        return None
    return rows[0], columns[0], rows[1], columns[1]


def patch_at(
    placement: Placement, input_size: Size, grid: Size, point: tuple[float, float]
) -> tuple[int, int] | None:
    """Row and column of the patch under a point (y, x) of the original; None outside the window."""
    rows, columns = (_index(placement, input_size, grid, axis, point[axis]) for axis in range(2))
    return None if rows is None or columns is None else (rows, columns)


def rim_distance(placement: Placement, point: tuple[float, float]) -> float:
    """How far within the window a point (y, x) lies, in pixels; negative outside."""
    return min(
        min(at - placement.window[axis], placement.window[axis] + placement.window[axis + 2] - at)
        for axis, at in enumerate(point)
    )


def _span(
    placement: Placement, input_size: Size, grid: Size, axis: int, index: int
) -> tuple[int, int] | None:
    """Start and length, along one axis of the original."""
    start, length = placement.window[axis], placement.window[axis + 2]
    first, extent = placement.content[axis], placement.content[axis + 2]
    step, scale = input_size[axis] / grid[axis], length / extent
    low = max(index * step - first, 0) * scale
    high = min((index + 1) * step - first, extent) * scale
    if high <= low:
        return None
    begin = min(round(low), length - 1)
    return start + begin, max(1, min(round(high), length) - begin)


def _index(placement: Placement, input_size: Size, grid: Size, axis: int, at: float) -> int | None:
    start, length = placement.window[axis], placement.window[axis + 2]
    first, extent = placement.content[axis], placement.content[axis + 2]
    if not start <= at < start + length:
        return None
    within_input = first + (at - start) * extent / length
    return min(int(within_input * grid[axis] / input_size[axis]), grid[axis] - 1)
