"""Test sets whose true metrics are known: drawn from populations of images that never run out."""

from dataclasses import dataclass

import numpy as np

SIDE = 24
"""Height and width of the score maps, in pixels."""


@dataclass(frozen=True)
class ScorePopulation:
    """Image scores: normal ones from N(0, 1), defect ones as its `kind` says, at a true AUROC.

    `even`: N(d, 1). `wide`: N(d, 2), defects that differ more than normal images do. `missed`: some
    defects, 1.8 (1 - AUROC) of them, look normal and the others are far off.
    """

    kind: str
    auroc: float

    def draw(
        self, generator: np.random.Generator, num_normal: int, num_defect: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores (n,) and labels (n,) of that many images."""
        from scipy.special import ndtri

        normal, defect = generator.normal(size=num_normal), generator.normal(size=num_defect)
        if self.kind == "even":
            defect = defect + 2**0.5 * ndtri(self.auroc)
        elif self.kind == "wide":
            defect = 2 * defect + 5**0.5 * ndtri(self.auroc)
        else:
            missed = 1.8 * (1 - self.auroc)
            of_others = (self.auroc - missed / 2) / (1 - missed)
            is_missed = generator.random(num_defect) < missed
            defect = defect + np.where(is_missed, 0.0, 2**0.5 * ndtri(of_others))
        labels = np.repeat([0, 1], [num_normal, num_defect])
        return np.concatenate((normal, defect)), labels


@dataclass(frozen=True)
class MapPopulation:
    """Score maps of `SIDE` x `SIDE` pixels: smooth noise, a level of each image, defects above it.

    Defects are one or two rectangles of 3 to 8 pixels a side; how far their scores lie above the
    rest, `lift` on average, differs from image to image (a gamma distribution of shape 4).
    """

    lift: float

    def draw(
        self, generator: np.random.Generator, num_normal: int, num_defect: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Maps (n, h, w) float32 and masks (n, h, w) bool of that many images, normal first."""
        from scipy.ndimage import gaussian_filter

        num_images = num_normal + num_defect
        white = generator.standard_normal((num_images, SIDE, SIDE), dtype=np.float32)
        maps = gaussian_filter(white, (0, 1.5, 1.5)) / np.float32(0.19)
        maps += generator.normal(scale=0.5, size=(num_images, 1, 1)).astype(np.float32)
        masks = np.zeros(maps.shape, dtype=bool)
        lifts = self.lift * generator.gamma(4, size=num_images) / 4
        for image in range(num_normal, num_images):
            for _ in range(generator.integers(1, 3)):
                height, width = generator.integers(3, 9, size=2)
                top, left = generator.integers(0, (SIDE - height + 1, SIDE - width + 1))
                masks[image, top : top + height, left : left + width] = True
        maps += masks * lifts[:, None, None].astype(np.float32)
        return maps, masks
