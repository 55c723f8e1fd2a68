"""Score maps as files, in the type that MVTec's evaluation reads."""

from pathlib import Path

import numpy as np

from cfa_lab.files import replacing


def write_map(path: Path, values: np.ndarray) -> None:
    """Write a map (H, W) at its image's size as float16 TIFF, whole or not at all.

    NaN, outside the scored window, becomes the minimum.
    """
    import tifffile

    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.where(np.isnan(values), np.nanmin(values), values).astype(np.float16)
    with replacing(path) as partial:
        tifffile.imwrite(partial, values)
