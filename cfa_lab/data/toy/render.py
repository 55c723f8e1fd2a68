"""One toy picture from its key: the scene, the lamp, the defect with its exact mask, the sensor."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import ndimage

from cfa_lab.data.toy import defects
from cfa_lab.data.toy.scenes import Flaw, gear, hide, weave
from cfa_lab.data.toy.surface import Canvas, Light, Surface

Mark = Callable[[Canvas, Surface, np.random.Generator], None]

SCENES = {"gear": gear, "hide": hide, "weave": weave}

# A defect is a mark on the surface, or None where the scene itself builds it in.
DEFECTS: dict[str, dict[str, Mark | None]] = {
    "gear": {
        "broken_tooth": None,
        "dent": defects.dent,
        "rust": defects.rust,
        "scratch": partial(defects.scratch, bare="eef0f2"),
    },
    "hide": {
        "puncture": defects.puncture,
        "scratch": partial(defects.scratch, bare="d9b48c"),
        "stain": partial(defects.stain, dye="3c3034"),
        "worn": defects.worn,
    },
    "weave": {
        "fibre": partial(defects.fibre, colours=("a02c24", "1d1f24", "d8752a")),
        "missing_thread": None,
        "misweave": None,
        "stain": partial(defects.stain, dye="5e3c18"),
    },
}

# Least change of a colour, in 0..1, that counts as part of the defect: about what an eye can tell.
PERCEPTIBLE = 5 / 255
# Fewer connected pixels than this are no defect.
SPECK = 4
# Deviation of the sensor's noise, in 0..1.
SENSOR_NOISE = 2.2 / 255


@dataclass(frozen=True)
class Picture:
    """A toy image, (h, w, 3) uint8, and its mask, (h, w) bool, true on the defect."""

    pixels: np.ndarray
    mask: np.ndarray


def render(category: str, size: int, key: list[int], defect: str | None = None) -> Picture:
    """Draw one picture; the same `key` gives the same pixels, with a defect or without.

    The scene is drawn twice, as it is and with the defect. The mask is where the two differ
    perceptibly, with small gaps closed; outside of it the picture is the good one to the last bit.
    """
    canvas = Canvas(size)
    light = Light.draw(np.random.default_rng([*key, 1]))
    picture = light.shine(canvas, _draw(category, canvas, key, None))
    mask = np.zeros((size, size), dtype=bool)
    # A defect may chance to be invisible, in a shadow or too small for the size: then draw it anew.
    attempts = itertools.count()
    while defect and not mask.any():
        flaw = Flaw(defect, np.random.default_rng([*key, 2, next(attempts)]))
        flawed = light.shine(canvas, _draw(category, canvas, key, flaw))
        mask = _difference(picture, flawed)
        picture = np.where(mask[..., None], flawed, picture)
    noise = np.random.default_rng([*key, 3]).standard_normal(picture.shape, dtype=np.float32)
    pixels = np.clip((picture + SENSOR_NOISE * noise) * 255 + 0.5, 0, 255).astype(np.uint8)
    return Picture(pixels, mask)


def _draw(category: str, canvas: Canvas, key: list[int], flaw: Flaw | None) -> Surface:
    scene, rng = SCENES[category], np.random.default_rng([*key, 0])
    mark = DEFECTS[category][flaw.name] if flaw else None
    if flaw is None or mark is None:
        return scene(canvas, rng, flaw)
    surface = scene(canvas, rng)
    mark(canvas, surface, flaw.rng)
    return surface


def _difference(good: np.ndarray, flawed: np.ndarray) -> np.ndarray:
    """Where two pictures differ perceptibly, (h, w) bool, without gaps and chance specks."""
    changed = np.abs(flawed - good).max(axis=2) > PERCEPTIBLE
    square = np.ones((3, 3), dtype=bool)
    closed = np.asarray(ndimage.binary_fill_holes(ndimage.binary_closing(changed, square)))
    regions = np.zeros(closed.shape, dtype=np.int32)
    ndimage.label(closed, square, output=regions)
    areas = np.bincount(regions.ravel())
    areas[0] = 0
    return (areas >= max(SPECK, 0.05 * areas.max()))[regions]
