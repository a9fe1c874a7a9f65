"""Trees behind the animals, and the dark, out-of-focus plants in front of them."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from cogexp.nano.world.land import depth_of, tone
from cogexp.nano.world.palette import GROUNDS, mix
from cogexp.nano.world.plants import bush, cactus, conifer, palm, rock, round_tree
from cogexp.nano.world.shapes import Colour, Image, canvas, chain, polygon

# How much faster than the animals' ground the foreground passes.
FRONT_PARALLAX = 1.55
# place -> rows of trees: (y of their feet, how many over one 16:9 picture, height factor).
_ROWS: dict[str, tuple[tuple[float, int, float], ...]] = {
    "forest": ((0.585, 15, 1.35), (0.635, 8, 1.35)),
    "snowy forest": ((0.585, 13, 1.30), (0.635, 7, 1.35)),
    "desert": ((0.590, 8, 0.80), (0.650, 5, 0.72)),
    "beach": ((0.685, 7, 0.98),),
    "flower meadow": ((0.580, 9, 1.10), (0.625, 5, 1.20)),
    "mountain lake": ((0.556, 22, 1.10), (0.718, 5, 0.82)),
}


def tree_rows(
    place: str, time: str, width: int, height: int, rng: np.random.Generator
) -> list[tuple[Image, float]]:
    """(premultiplied RGBA of the whole picture's size, parallax) a row of trees, farthest first."""
    layers = []
    for index, (foot, number, factor) in enumerate(_ROWS[place]):
        target = canvas(width, height)
        haze = 0.30 if index == 0 and len(_ROWS[place]) > 1 else 0.06
        count = max(round(number * width / height / 1.78), 2)
        for i in range(count):
            x = (i + 0.5 + rng.uniform(-0.32, 0.32)) / count * width
            y = (foot + rng.uniform(-0.012, 0.012)) * height
            size = (0.035 + 1.02 * depth_of(foot)) * factor * rng.uniform(0.78, 1.15) * height
            _plant(place, time, target, x, y, size, haze, rng)
        layers.append((target, depth_of(foot)))
    return layers


def _plant(
    place: str,
    time: str,
    target: Image,
    x: float,
    y: float,
    size: float,
    haze: float,
    rng: np.random.Generator,
) -> None:
    colours = GROUNDS[place]
    leaf = tone(place, time, mix(colours.leaf, colours.near, rng.uniform(0, 0.22)), haze)
    trunk = tone(place, time, colours.trunk, haze)
    lean = float(rng.uniform(-0.30, 0.30))
    if place == "beach":
        palm(target, x, y, size, leaf, trunk, lean)
    elif place == "desert":
        if rng.random() < 0.3:
            rock(target, x, y, size * 0.4, tone(place, time, (184, 110, 74), haze))
        else:
            cactus(target, x, y, size, leaf)
    elif place == "flower meadow":
        round_tree(target, x, y, size, leaf, trunk)
    elif place == "forest" and rng.random() < 0.30:
        round_tree(target, x, y, size * 0.9, mix(leaf, tone(place, time, (126, 168, 70), haze), 0.5), trunk)
    else:
        snow = tone(place, time, (250, 252, 255), haze) if place == "snowy forest" else None
        conifer(target, x, y, size, leaf, trunk, snow)


def foreground(place: str, time: str, width: int, height: int, rng: np.random.Generator) -> Image:
    """Premultiplied RGBA, blurred: leaves at the lower corners, branches that frame the picture."""
    target = canvas(width, height)
    dark = tone(place, time, GROUNDS[place].front)
    if time == "night":
        dark = mix(dark, (4, 8, 22), 0.45)
    _CORNERS[place](target, width, height, dark, rng)
    sigma = height * 0.007
    return cv2.GaussianBlur(target, (0, 0), sigma)


def _blades(target: Image, width: int, height: int, dark: Colour, rng: np.random.Generator) -> None:
    """Tall grass, higher towards the sides."""
    number = round(30 * width / height / 1.78)
    for i in range(number):
        share = (i + rng.uniform(-0.4, 0.4)) / (number - 1)
        side = abs(2 * share - 1) ** 2
        x, tall = share * width, (0.035 + 0.15 * side) * height * rng.uniform(0.7, 1.2)
        tip = (x + rng.uniform(-0.3, 0.3) * tall, 1.02 * height - tall)
        polygon(target, [(x - 0.014 * height, 1.02 * height), (x + 0.014 * height, 1.02 * height), tip], dark)


def _ferns(target: Image, width: int, height: int, dark: Colour, rng: np.random.Generator) -> None:
    """Bushes at the lower corners and a branch from each upper one."""
    _blades(target, width, height, dark, rng)
    for x, size in ((0.02, 0.17), (0.13, 0.10), (0.99, 0.18), (0.88, 0.09)):
        bush(target, x * width, 1.03 * height, size * height, dark)
    for side in (0, 1):
        root = side * width
        way = 1 - 2 * side
        chain(target, ((root, -0.01 * height), (root + way * 0.16 * height, 0.05 * height)),
              (0.025 * height, 0.008 * height), dark)  # fmt: skip
        for k in range(6):
            x, y = root + way * (0.01 + 0.045 * k) * height, (0.02 + 0.022 * (k % 3)) * height
            chain(target, ((x, y), (x + way * 0.03 * height, y + 0.055 * height)),
                  (0.020 * height, 0.006 * height), dark)  # fmt: skip


def _stones(target: Image, width: int, height: int, dark: Colour, rng: np.random.Generator) -> None:
    """Stones and drifts at the lower corners."""
    for x, size in ((0.0, 0.24), (0.14, 0.12), (1.0, 0.24), (0.87, 0.11)):
        rock(target, x * width, 1.04 * height, size * height * rng.uniform(0.85, 1.1), dark)


def _leaves(target: Image, width: int, height: int, dark: Colour, rng: np.random.Generator) -> None:
    """Palm fronds from the lower corners."""
    for side in (0, 1):
        for k in range(5):
            angle = np.pi / 2 * (0.18 + 0.19 * k)
            way = 1 - 2 * side
            reach = height * rng.uniform(0.20, 0.26)
            root = (side * width - way * 0.02 * height, 1.04 * height)
            middle = (root[0] + way * np.cos(angle) * reach * 0.6, root[1] - np.sin(angle) * reach * 0.7)
            tip = (root[0] + way * np.cos(angle) * reach, root[1] - np.sin(angle) * reach * 0.85)
            chain(target, (root, middle, tip), (0.012 * height, 0.026 * height, 0.004 * height), dark)


_CORNERS: dict[str, Callable[[Image, int, int, Colour, np.random.Generator], None]] = {
    "forest": _ferns,
    "snowy forest": _stones,
    "desert": _stones,
    "beach": _leaves,
    "flower meadow": _blades,
    "mountain lake": _blades,
}
