"""The form that MVTec AD 2's server wants: which files, how they are called.

    anomaly_images/<object>/test_private/NNN_regular.tiff         maps, (H, W) float16
    anomaly_images/<object>/test_private_mixed/NNN_mixed.tiff
    anomaly_images_thresholded/<object>/<set>/<the same>.png      masks, (H, W) of 0 and 255

All eight objects, both sets, all images, nothing else; without masks the server computes no SegF1.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath

NUM_IMAGES = {
    "can": 321,
    "fabric": 314,
    "fruit_jelly": 255,
    "rice": 277,
    "sheet_metal": 142,
    "vial": 276,
    "wallplugs": 232,
    "walnuts": 228,
}
"""Objects and the images in each of their private test sets, as MVTec's documentation has them."""
SETS = {"test_private": "regular", "test_private_mixed": "mixed"}
"""Folder -> the end of its images' names."""
MAPS, MASKS = "anomaly_images", "anomaly_images_thresholded"
SUFFIXES = {MAPS: ".tiff", MASKS: ".png"}


@dataclass(frozen=True, order=True)
class Place:
    """An image of a private test set."""

    category: str
    set: str
    name: str
    """Without suffix."""

    def path(self, kind: str) -> str:
        """Of its map or mask, below the submission's folder."""
        return f"{kind}/{self.category}/{self.set}/{self.name}{SUFFIXES[kind]}"


def all_places(categories: list[str] | None = None) -> list[Place]:
    """Of all images of some objects, all if None."""
    return [
        Place(category, folder, f"{number:03}_{end}")
        for category in categories or NUM_IMAGES
        for folder, end in SETS.items()
        for number in range(NUM_IMAGES[category])
    ]


def place_of(path: PurePosixPath) -> tuple[str, Place] | None:
    """Whether a file is a map or a mask, and of which image; None for any other file."""
    if len(path.parts) != 4 or SUFFIXES.get(path.parts[0]) != path.suffix:
        return None
    kind, category, folder, _ = path.parts
    return kind, Place(category, folder, path.stem)
