"""A made-up category in MVTec's layout, any number of images of one size."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

CATEGORY = "made_up"


def write_category(root: Path, *, num_train: int, num_test: int, size: int, seed: int = 0) -> None:
    """Write grey textures; every other test image has a bright square, with its mask."""
    generator = np.random.default_rng(seed)
    texture = gaussian_filter(generator.standard_normal((size, size)), 4)
    texture *= 40 / texture.std()

    def write(path: Path, pixels: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)

    def picture() -> np.ndarray:
        return 120 + texture + generator.normal(0, 8, (size, size))

    category = root / CATEGORY
    for i in range(num_train):
        write(category / "train" / "good" / f"{i:03}.png", picture())
    for i in range(num_test):
        pixels = picture()
        if i % 2 == 0:
            write(category / "test" / "good" / f"{i:03}.png", pixels)
            continue
        mask = np.zeros((size, size))
        side = max(size // 12, 1)
        top, left = generator.integers(0, size - side + 1, 2)
        mask[top : top + side, left : left + side] = 255
        write(category / "test" / "square" / f"{i:03}.png", pixels + mask / 6)
        write(category / "ground_truth" / "square" / f"{i:03}_mask.png", mask)
