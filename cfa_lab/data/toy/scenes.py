"""The toy set's three scenes: a texture, a repeated pattern, and an object that turns and shifts.

A scene draws a surface from the random generator `rng`. A `Flaw` is a defect of the structure
itself (a thread left out, a tooth broken off); it brings its own generator, so that one scene can
be drawn with and without it.
"""

import math
from dataclasses import dataclass

import numpy as np

from cfa_lab.data.toy.surface import DESIGN_SIZE, Canvas, Field, Surface, mix, ramp, rgb

MIDDLE = DESIGN_SIZE / 2
GAP = -2.0  # height where there is no yarn, in yarn radii


@dataclass(frozen=True)
class Flaw:
    """A structural defect to build into a scene, by name, and the source of its random numbers."""

    name: str
    rng: np.random.Generator


def hide(canvas: Canvas, rng: np.random.Generator, flaw: Flaw | None = None) -> Surface:
    """Dyed leather: pebbles of random form between fine creases; no structural defects."""
    assert flaw is None
    grain = rng.uniform(4.8, 5.6)
    cells = canvas.noise(rng, grain) + 0.35 * canvas.noise(rng, 2 * grain)
    # Creases run where the noise changes sign; the root makes them narrow and the pebbles broad.
    pebbles = np.sqrt(np.abs(cells) + 0.02)
    crease = ramp(pebbles, 0.55, 0.15)
    height = 1.3 * np.minimum(pebbles, 1.25) + 0.16 * canvas.noise(rng, 1.6)
    height += 0.7 * canvas.noise(rng, 90)
    patina = 1 + 0.03 * canvas.noise(rng, 60) + 0.03 * canvas.noise(rng, 12)
    albedo = mix(rgb("a9673a") * patina[..., None], rgb("5a2f18"), 0.64 * crease)
    return Surface(height, albedo, 0.16 * (1 - crease), np.ones(height.shape, dtype=bool))


def weave(canvas: Canvas, rng: np.random.Generator, flaw: Flaw | None = None) -> Surface:
    """A 2/2 twill of two dyed yarns, shifted and turned a little from picture to picture.

    Structural defects: "missing_thread" and "misweave", a block where over and under are exchanged.
    """
    pitch = 8.0
    angle = math.radians(rng.normal(0, 1.2))
    x, y = canvas.x - MIDDLE, canvas.y - MIDDLE
    sway_x, sway_y = 0.55 * canvas.noise(rng, 26), 0.55 * canvas.noise(rng, 26)
    # Thread coordinates: whole numbers are the borders between threads. Warp threads run down the
    # picture and are numbered by u, weft threads run across it and are numbered by v.
    u = (x * math.cos(angle) + y * math.sin(angle) + sway_x) / pitch + rng.uniform(64, 68)
    v = (y * math.cos(angle) - x * math.sin(angle) + sway_y) / pitch + rng.uniform(64, 68)
    warp, weft = np.floor(u), np.floor(v)
    across_warp, across_weft = u - warp - 0.5, v - weft - 0.5

    # Each thread goes over two and under two, its neighbour one step later: the twill's diagonal.
    lift_warp = np.cos((v - warp) * (np.pi / 2))
    lift_weft = -np.sin((u - weft) * (np.pi / 2))
    if flaw and flaw.name == "misweave":
        exchanged = _run(flaw.rng, warp, 3, 6) & _run(flaw.rng, weft, 2, 4)
        lift_warp, lift_weft = (np.where(exchanged, -lift, lift) for lift in (lift_warp, lift_weft))

    radii = rng.normal(0.45, 0.025, size=(2, 128)).astype(np.float32)
    dyes = rng.normal(1, 0.05, size=(2, 128)).astype(np.float32)
    warp_thread, weft_thread = warp.astype(np.intp), weft.astype(np.intp)
    top_warp = _yarn(across_warp / radii[0, warp_thread], lift_warp)
    top_weft = _yarn(across_weft / radii[1, weft_thread], lift_weft)
    if flaw and flaw.name == "missing_thread":
        torn = _run(flaw.rng, weft, 1, 1) & _run(flaw.rng, warp, 4, 11)
        top_weft = np.where(torn, GAP, top_weft)

    warp_is_up = top_warp > top_weft
    top = np.maximum(top_warp, top_weft)
    twist = np.sin(
        np.where(warp_is_up, 3 * v + 2 * across_warp, 3 * u + 2 * across_weft) * (2 * np.pi)
    )
    hairs = canvas.noise(rng, 1.3)
    shade = np.where(warp_is_up, dyes[0, warp_thread], dyes[1, weft_thread]) * (
        1 + 0.07 * twist + 0.06 * hairs
    )
    albedo = np.where(warp_is_up[..., None], rgb("476a86"), rgb("cdbb94")) * shade[..., None]
    albedo = mix(albedo, rgb("1a1713"), 0.85 * ramp(top, 0.35, -0.5))
    height = 1.7 * np.maximum(top, -0.6) + 0.12 * (twist + hairs)
    gloss = np.full_like(height, 0.05)
    return Surface(canvas.blur(height, 0.5), albedo, gloss, np.ones(height.shape, dtype=bool))


def _yarn(across: Field, lift: Field) -> Field:
    """Height of a round yarn's upper side, (h, w), `across` it in radii from -1 to 1."""
    return np.where(np.abs(across) < 1, np.sqrt(np.maximum(1 - across**2, 0)) + 0.8 * lift, GAP)


def _run(rng: np.random.Generator, index: np.ndarray, least: int, most: int) -> np.ndarray:
    """Where `least` to `most` neighbouring threads near the middle are, (h, w) bool.

    `index` numbers the thread of each pixel.
    """
    count = rng.integers(least, most + 1)
    middle = index[index.shape[0] // 2, index.shape[1] // 2]
    first = middle + rng.integers(-8, 9 - count)
    return (index >= first) & (index < first + count)


def gear(canvas: Canvas, rng: np.random.Generator, flaw: Flaw | None = None) -> Surface:
    """A turned steel gear on a dark mat, a little shifted, turned and nearer or farther each time.

    Structural defect: "broken_tooth". Distances to the outlines are positive inside the steel.
    """
    num_teeth = 18
    tooth_pitch = 2 * math.pi / num_teeth
    x, y = canvas.x - MIDDLE - rng.normal(0, 1.4), canvas.y - MIDDLE - rng.normal(0, 1.4)
    radius = np.hypot(x, y) / rng.normal(1, 0.008)
    bearing = np.arctan2(y, x)
    theta = bearing + math.radians(rng.uniform(-6, 6))

    flank = np.tanh(2.6 * np.cos(num_teeth * theta))
    steepness = 7.5 * 2.6 * num_teeth / 75 * (1 - flank**2) * np.sin(num_teeth * theta)
    teeth = (70 + 7.5 * flank - radius) / np.sqrt(1 + steepness**2)
    if flaw and flaw.name == "broken_tooth":
        centre = int(flaw.rng.integers(num_teeth)) * tooth_pitch
        beside = np.mod(centre - theta + math.pi, 2 * math.pi) - math.pi
        tilt, rough = flaw.rng.normal(0, 18) * beside, 0.9 * canvas.noise(flaw.rng, 4)
        stump = flaw.rng.uniform(63, 73) + tilt + rough - radius
        teeth = np.where(np.abs(beside) < tooth_pitch / 2, np.minimum(teeth, stump), teeth)
    fifth = np.mod(theta, 2 * math.pi / 5) - math.pi / 5
    holes = np.hypot(radius * np.cos(fifth) - 39, radius * np.sin(fifth)) - 9.5
    keyway = np.maximum(
        np.abs(radius * np.sin(theta)) - 3.2, np.abs(radius * np.cos(theta) - 10) - 6
    )
    inside = np.minimum(np.minimum(teeth, holes), np.minimum(radius - 11, keyway))
    steel = ramp(inside, -0.6, 0.6)

    recess = ramp(np.minimum(radius - 22, 56 - radius), 0, 2.5)
    grooves = rng.standard_normal(280, dtype=np.float32)
    turned = np.interp(radius, np.arange(280) / 2, grooves).astype(np.float32)
    height = (2.2 * ramp(inside, 0, 3.2) - 2.0 * recess + 0.03 * turned) * steel
    # Turned metal throws its highlights as two opposite fans.
    fans = (0.5 + 0.5 * np.cos(2 * bearing + math.pi / 2)) ** 3
    bright = 0.72 + 0.42 * fans + 0.035 * turned + 0.03 * canvas.noise(rng, 1.2)
    metal = rgb("a3a8ad") * (bright * (1 - 0.18 * recess))[..., None]

    cloth = 1 + 0.10 * canvas.noise(rng, 1.4) + 0.05 * canvas.noise(rng, 40)
    drop = round(4 / canvas.pixel)
    shadow = canvas.blur(np.roll(steel, (drop, drop), (0, 1)), 4)
    mat = rgb("2e3438") * (cloth * (1 - 0.6 * shadow))[..., None]
    return Surface(height, mix(mat, metal, steel), 0.35 * steel, inside > 1)
