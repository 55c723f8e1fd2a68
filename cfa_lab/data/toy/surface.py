"""Drawing tools of the toy set: coordinates, noise, and the shading of a surface by a soft light.

All lengths are in design pixels: scenes are drawn as if pictures were 192 pixels wide, whatever
their real size.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

DESIGN_SIZE = 192

Field = np.ndarray  # (h, w) float32


@dataclass(frozen=True)
class Canvas:
    """A square picture of `size` pixels and the coordinates of its pixel centres."""

    size: int

    @property
    def pixel(self) -> float:
        """Width of a pixel in design pixels."""
        return DESIGN_SIZE / self.size

    @property
    def x(self) -> Field:
        """Column coordinate, (1, w)."""
        return ((np.arange(self.size, dtype=np.float32) + 0.5) * self.pixel)[None, :]

    @property
    def y(self) -> Field:
        """Row coordinate, (h, 1); it grows downwards."""
        return self.x.T

    def noise(self, rng: np.random.Generator, grain: float) -> Field:
        """Smooth noise of mean 0 and deviation 1 whose blobs are about `grain` wide, (h, w).

        White noise under a Gaussian, drawn in the frequency domain, where broad noise costs no more
        than fine noise.
        """
        sigma = grain / self.pixel / 2
        down = np.exp(-2 * (np.pi * sigma * np.fft.fftfreq(self.size)) ** 2)
        across = np.exp(-2 * (np.pi * sigma * np.fft.rfftfreq(self.size)) ** 2)
        waves = rng.standard_normal((2, len(down), len(across)), dtype=np.float32)
        spectrum = (waves[0] + 1j * waves[1]) * (down[:, None] * across)
        spectrum[0, 0] = 0
        field = np.fft.irfft2(spectrum, (self.size, self.size)).astype(np.float32)
        return field / field.std()

    def blur(self, field: Field, sigma: float) -> Field:
        """Gaussian blur by `sigma` design pixels, of (h, w) or (h, w, 3)."""
        return ndimage.gaussian_filter(field, sigma / self.pixel, axes=(0, 1))


@dataclass
class Surface:
    """What is photographed.

    `height` in design pixels (h, w), `albedo` its colour (h, w, 3) and `gloss` (h, w), both in
    0..1, and `part` (h, w) bool, true where the inspected part is and not the ground it lies on.
    """

    height: Field
    albedo: np.ndarray
    gloss: Field
    part: np.ndarray


@dataclass(frozen=True)
class Light:
    """One soft lamp: its direction in radians, its strength, how it falls off, and its colour."""

    azimuth: float
    strength: float
    slope: tuple[float, float]
    tint: tuple[float, float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Light":
        """A lamp at the upper left, moved, dimmed and aged a little from picture to picture."""
        return cls(
            azimuth=math.radians(rng.normal(135, 9)),
            strength=rng.normal(1, 0.04),
            slope=(rng.normal(-0.05, 0.04), rng.normal(-0.05, 0.04)),
            tint=(rng.normal(1, 0.009), 1.0, rng.normal(1, 0.009)),
        )

    def shine(self, canvas: Canvas, surface: Surface) -> np.ndarray:
        """The picture before the sensor's noise, (h, w, 3) float32, about 0..1."""
        down, across = np.gradient(surface.height, canvas.pixel)
        slant = 1 / np.sqrt(1 + across**2 + down**2)
        # The lamp stands 50 degrees above the surface, the camera straight above it; Blinn's
        # highlight is where the surface faces half way between the two.
        lamp = (0.64 * math.cos(self.azimuth), -0.64 * math.sin(self.azimuth), 0.77)
        half_length = math.hypot(lamp[0], lamp[1], lamp[2] + 1)
        facing = (lamp[2] - across * lamp[0] - down * lamp[1]) * slant
        halfway = (lamp[2] + 1 - across * lamp[0] - down * lamp[1]) * slant / half_length
        diffuse = 0.30 + 0.80 * np.clip(facing, 0, None)
        highlight = surface.gloss * np.clip(halfway, 0, 1) ** 24
        fall = self.strength * (
            1
            + self.slope[0] * (canvas.x / DESIGN_SIZE * 2 - 1)
            + self.slope[1] * (canvas.y / DESIGN_SIZE * 2 - 1)
        )
        picture = surface.albedo * (diffuse * fall)[..., None] + (highlight * fall)[..., None]
        # The lens: nothing is much sharper than a pixel.
        lens = ndimage.gaussian_filter(picture, 0.55, axes=(0, 1))
        return lens * np.array(self.tint, dtype=np.float32)


def ramp(field: Field, low: float, high: float) -> Field:
    """Smooth step from 0 at `low` to 1 at `high` (or down, where `high` is the smaller)."""
    t = np.clip((field - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(first: np.ndarray, second: np.ndarray, amount: Field) -> np.ndarray:
    """Blend two colours, (3,) or (h, w, 3), by `amount`, (h, w): 0 gives the first."""
    return first + (second - first) * amount[..., None]


def rgb(code: str) -> np.ndarray:
    """Colour of a hexadecimal code such as "c08a4e", (3,) float32 in 0..1."""
    return np.array([int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)], dtype=np.float32)
