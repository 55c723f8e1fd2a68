"""One image's score map taken apart: what the metrics need of it, and nothing else."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from cfa_lab.metrics.regions import region_areas


@dataclass(frozen=True)
class ImagePixels:
    """Scores of an image's normal pixels (n,) and defect pixels (p,), without their positions.

    `areas` (p,) int32: the size in pixels of the 8-connected region each defect pixel belongs to.
    An image whose mask is unknown has no pixels at all and counts for image metrics only.
    """

    negatives: np.ndarray
    positives: np.ndarray
    areas: np.ndarray
    num_regions: int

    @property
    def weights(self) -> np.ndarray:
        """(p,) float64 weights 1 / area: every region adds up to one, whatever its size."""
        return 1.0 / self.areas


def split_pixels(score_map: np.ndarray, mask: np.ndarray | None) -> ImagePixels:
    """Separate normal from defect scores; all arrays are copies.

    `score_map`: (h, w), checked; `mask`: (h, w), non-zero where the image is defect, or None if
    unknown.
    """
    no_scores, no_areas = np.zeros(0, dtype=score_map.dtype), np.zeros(0, dtype=np.int32)
    if mask is None:
        return ImagePixels(no_scores, no_scores, no_areas, num_regions=0)
    if not mask.any():
        return ImagePixels(score_map.flatten(), no_scores, no_areas, num_regions=0)
    defect = mask.astype(bool, copy=False)
    regions = region_areas(defect)
    return ImagePixels(score_map[~defect], score_map[defect], regions.areas, regions.num_regions)


def split_by_image(chunks: Iterable[np.ndarray], counts: Iterable[int]) -> Iterator[np.ndarray]:
    """Each image's values, out of chunks that together hold all images' values in order.

    `counts`: values per image. Merged, synchronised or spilled chunks ignore image borders.
    """
    source = iter(chunks)
    rest = np.zeros(0, dtype=np.float32)
    for count in counts:
        parts: list[np.ndarray] = []
        while count > 0:
            if rest.size == 0:
                rest = next(source)
                continue
            parts.append(rest[:count])
            rest = rest[count:]
            count -= parts[-1].size
        yield parts[0] if len(parts) == 1 else np.concatenate([rest[:0], *parts])
