"""Defects that mark a surface, wherever it came from: each changes a `Surface` in place."""

import math

import numpy as np

from cfa_lab.data.toy.surface import Canvas, Field, Surface, mix, ramp, rgb


def scratch(canvas: Canvas, surface: Surface, rng: np.random.Generator, *, bare: str) -> None:
    """A thin cut that bares the material, of colour `bare`, and throws up a burr at its edge."""
    distance = _stroke(
        canvas, rng, _site(canvas, surface, rng), length=rng.uniform(24, 64), bend=0.12
    )
    distance = np.where(surface.part, distance, 99)
    width = rng.uniform(0.55, 1.1)
    cut = ramp(distance, width + 0.7, width - 0.3) * rng.uniform(0.5, 0.95)
    burr = ramp(np.abs(distance - width - 0.8), 1.0, 0.0)
    surface.height += 0.3 * burr - 0.9 * cut
    surface.albedo = mix(surface.albedo, rgb(bare), cut)


def stain(canvas: Canvas, surface: Surface, rng: np.random.Generator, *, dye: str) -> None:
    """A dried splash: a tinted patch of ragged outline with a darker rim."""
    edge = _patch(canvas, rng, _site(canvas, surface, rng), rng.uniform(11, 20))
    wet = ramp(edge, -0.05, 0.18)
    rim = ramp(np.abs(edge - 0.08), 0.14, 0.0)
    depth = np.minimum(0.75 * wet + 0.45 * rim, 1) * rng.uniform(0.42, 0.8)
    surface.albedo = surface.albedo * mix(rgb("ffffff"), rgb(dye), depth)
    surface.gloss = surface.gloss * (1 - 0.6 * wet)


def puncture(canvas: Canvas, surface: Surface, rng: np.random.Generator) -> None:
    """A hole with a raised lip."""
    radius = rng.uniform(1.6, 3.4)
    distance = _oval(canvas, rng, _site(canvas, surface, rng)) + 0.5 * canvas.noise(rng, 5)
    inside = ramp(distance, radius + 0.8, radius - 0.8)
    surface.height += 1.3 * ramp(np.abs(distance - radius - 1.4), 2.0, 0) - 3 * inside
    surface.albedo = mix(surface.albedo, rgb("1d0f09"), 0.9 * inside)
    surface.gloss = surface.gloss * (1 - inside)


def worn(canvas: Canvas, surface: Surface, rng: np.random.Generator) -> None:
    """A patch rubbed smooth: the grain is flattened and the dye paler."""
    edge = _patch(canvas, rng, _site(canvas, surface, rng), rng.uniform(11, 20))
    rubbed = ramp(edge, -0.1, 0.35) * rng.uniform(0.75, 1)
    surface.height += (canvas.blur(surface.height, 4) - surface.height) * rubbed
    smooth = canvas.blur(surface.albedo, 3)
    surface.albedo = mix(surface.albedo, smooth * 1.12, rubbed)
    surface.gloss = surface.gloss + 0.06 * rubbed


def fibre(
    canvas: Canvas, surface: Surface, rng: np.random.Generator, *, colours: tuple[str, ...]
) -> None:
    """A foreign hair lying on the surface, with a faint shadow."""
    distance = _stroke(
        canvas, rng, _site(canvas, surface, rng), length=rng.uniform(30, 70), bend=0.6
    )
    hair = ramp(distance, 1.5, 0.5)
    colour = rgb(colours[rng.integers(len(colours))])
    surface.albedo = surface.albedo * (1 - 0.25 * ramp(distance, 2.6, 0.8))[..., None]
    surface.albedo = mix(surface.albedo, colour, hair * rng.uniform(0.65, 1))


def rust(canvas: Canvas, surface: Surface, rng: np.random.Generator) -> None:
    """A bloom of rust: mottled, rough and without shine."""
    edge = _patch(canvas, rng, _site(canvas, surface, rng), rng.uniform(4.5, 11))
    mottle = canvas.noise(rng, 2.2)
    bloom = ramp(edge + 0.16 * mottle, 0, 0.3) * rng.uniform(0.35, 0.85) * surface.part
    colour = rgb("7a4426") * (1 + 0.22 * mottle)[..., None]
    surface.height += 0.35 * mottle * bloom
    surface.albedo = mix(surface.albedo, colour, bloom)
    surface.gloss = surface.gloss * (1 - 0.9 * bloom)


def dent(canvas: Canvas, surface: Surface, rng: np.random.Generator) -> None:
    """A shallow dent, seen only by the light it catches."""
    radius = rng.uniform(4.5, 8.5)
    bowl = ramp(_oval(canvas, rng, _site(canvas, surface, rng)), radius, 0)
    surface.height -= bowl * surface.part * (radius * rng.uniform(0.22, 0.5))


def _site(canvas: Canvas, surface: Surface, rng: np.random.Generator) -> tuple[float, float]:
    """A random point of the part, away from the picture's border, as (x, y)."""
    border = canvas.size // 10
    points = np.argwhere(surface.part[border:-border, border:-border]) + border
    row, column = rng.choice(points)
    return float(canvas.x[0, column]), float(canvas.y[row, 0])


def _stroke(
    canvas: Canvas,
    rng: np.random.Generator,
    site: tuple[float, float],
    *,
    length: float,
    bend: float,
) -> Field:
    """Distance to a smoothly bent line through `site`, (h, w), larger at the line's thin ends."""
    steps = np.linspace(-0.5, 0.5, 64)
    turns = bend * (rng.normal() * np.sin(2 * steps) + rng.normal() * np.cos(5 * steps))
    path = np.cumsum(np.exp(1j * (rng.uniform(0, 2 * np.pi) + 2 * turns))) * length / len(steps)
    path += complex(*site) - path[len(steps) // 2]
    taper = 1.2 * (2 * np.abs(steps)) ** 4
    squared = np.full((canvas.size, canvas.size), np.inf, dtype=np.float32)
    for point, thinning in zip(path.tolist(), taper.tolist(), strict=True):
        reach = (canvas.x - point.real) ** 2 + (canvas.y - point.imag) ** 2
        np.minimum(squared, reach + thinning, out=squared)
    return np.sqrt(squared)


def _patch(
    canvas: Canvas, rng: np.random.Generator, site: tuple[float, float], radius: float
) -> Field:
    """A ragged patch around `site`, (h, w): 1 in its middle, 0 on its outline, negative outside."""
    distance = _oval(canvas, rng, site) / radius
    ragged = 0.16 * canvas.noise(rng, radius) + 0.06 * canvas.noise(rng, 3)
    # Fading the raggedness out keeps crumbs from appearing far away.
    return 1 - distance + ragged * ramp(distance, 2.2, 1)


def _oval(canvas: Canvas, rng: np.random.Generator, site: tuple[float, float]) -> Field:
    """Distance from `site`, (h, w), measured longer in one random direction."""
    angle = rng.uniform(0, np.pi)
    x, y = canvas.x - site[0], canvas.y - site[1]
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    return np.hypot(along / rng.uniform(0.65, 1), across)
