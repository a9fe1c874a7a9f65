"""Hills, mountains, water and ground: the layers between the sky and the trees."""

from __future__ import annotations

import cv2
import numpy as np

from cogexp.nano.world.palette import GROUNDS, LIGHTS, PETALS, WATER, mix, scaled
from cogexp.nano.world.plants import flower, rock, tuft
from cogexp.nano.world.shapes import Colour, Floats, Image, chain, polygon, ridge_layer
from cogexp.nano.world.sky import HORIZON

# Where the animals' feet stand; the ground moves with the camera in proportion to (y - HORIZON).
FEET = 0.855
# Where water ends and the near shore begins.
SHORE = {"beach": 0.640, "mountain lake": 0.705}


def depth_of(y: float) -> float:
    """How much a ground row at height share y moves with the camera: 0 at the horizon, 1 at the feet."""
    return max((y - HORIZON) / (FEET - HORIZON), 0.0)


def tone(place: str, time: str, colour: Colour, haze: float = 0.0) -> Colour:
    """A day colour in this light, mixed with the horizon's colour by `haze`: aerial perspective."""
    light = LIGHTS[time]
    return mix(light.grade(colour), light.sky[2], haze)


def _waves(width: int, height: int, rng: np.random.Generator, pitch: float, rough: float) -> Floats:
    """A smooth random line of about -1..1: four sines whose wavelengths are shares of the height."""
    x = np.arange(width, dtype=np.float32) / height
    line = np.zeros(width, np.float32)
    for octave in range(4):
        line += rough**octave * np.sin(2 * np.pi * x / pitch * 1.9**octave + rng.uniform(0, 2 * np.pi))
    return line / sum(rough**octave for octave in range(4))


def _peaks(width: int, height: int, rng: np.random.Generator) -> Floats:
    """Mountains: overlapping triangles, 0..1."""
    x = np.arange(width, dtype=np.float32) / height
    line = np.zeros(width, np.float32)
    span = width / height
    for centre in np.arange(-0.2, span + 0.3, 0.42):
        top = rng.uniform(0.62, 1.0)
        line = np.maximum(line, top - np.abs(x - centre - rng.uniform(-0.08, 0.08)) * rng.uniform(1.5, 2.0))
    return line + 0.03 * _waves(width, height, rng, 0.12, 0.6)


def ridges(
    place: str, time: str, width: int, height: int, rng: np.random.Generator
) -> list[tuple[Image, int, float]]:
    """Far layers as (premultiplied RGBA rows, first row, parallax), farthest first."""
    ground = GROUNDS[place]
    last = round((HORIZON + 0.03) * height)
    layers = []
    if place == "mountain lake":
        crest = (HORIZON - 0.30 * np.clip(_peaks(width, height, rng), 0, 1)) * height
        layers.append((_snow_caps(place, time, crest.astype(np.float32), last, height), 0.07))
    elif place == "beach":
        return []
    else:
        rise = {"desert": 0.10, "flower meadow": 0.09}.get(place, 0.13)
        line = _waves(width, height, rng, 1.1, 0.5)
        if place == "desert":
            # Mesas: the tops of the waves are cut flat.
            line = np.clip(line * 2.2, -1, 0.75)
        crest = ((HORIZON - rise - rise * 0.8 * line) * height).astype(np.float32)
        layers.append((_ridge(place, time, ground.ridge, crest, last, (0.30, 0.72)), 0.07))
    crest = ((HORIZON - 0.055 - 0.035 * _waves(width, height, rng, 0.8, 0.45)) * height).astype(np.float32)
    layers.append((_ridge(place, time, ground.hill, crest, last, (0.12, 0.45)), 0.16))
    return [(image, first, parallax) for (image, first), parallax in layers]


def _ridge(
    place: str, time: str, colour: Colour, crest: Floats, last: int, haze: tuple[float, float]
) -> tuple[Image, int]:
    first = max(int(crest.min()) - 1, 0)
    top, bottom = tone(place, time, colour, haze[0]), tone(place, time, colour, haze[1])
    return ridge_layer(len(crest), crest, top, bottom, (first, last)), first


def _snow_caps(place: str, time: str, crest: Floats, last: int, height: int) -> tuple[Image, int]:
    """A mountain ridge whose upper part is white down to a jagged line."""
    rock_layer, first = _ridge(place, time, GROUNDS[place].ridge, crest, last, (0.18, 0.62))
    x = np.arange(len(crest), dtype=np.float32) / height
    zigzag = np.abs((x * 14) % 2 - 1) * 0.022 + np.abs((x * 5.3) % 2 - 1) * 0.025
    snow_line = (HORIZON - 0.185 + zigzag) * height
    y = np.arange(first, last, dtype=np.float32)[:, None]
    cap = np.clip(snow_line[None] - y + 0.5, 0, 1)[..., None] * (rock_layer[..., 3:] / 255.0)
    snow = np.asarray(tone(place, time, (250, 252, 255), 0.10), np.float32)
    rgb = rock_layer[..., :3] * (1 - cap) + snow * cap
    rock_layer[..., :3] = np.clip(rgb, 0, 255)
    return rock_layer, first


def ground(
    place: str, time: str, width: int, height: int, rng: np.random.Generator, backdrop: Image
) -> Image:
    """(rows below the horizon, width, 3) RGB. backdrop: what stands above, to be mirrored (same width)."""
    colours = GROUNDS[place]
    first = round(HORIZON * height)
    share = np.linspace(0, 1, height - first, dtype=np.float32)[:, None, None] ** 0.8
    far = np.asarray(tone(place, time, colours.far, 0.22), np.float32)
    near = np.asarray(tone(place, time, colours.near), np.float32)
    flat = np.broadcast_to(far + (near - far) * share, (height - first, width, 3)).astype(np.uint8)
    # cv2 draws with four channels here, so that the same tools serve layers and the ground.
    picture = cv2.cvtColor(np.ascontiguousarray(flat), cv2.COLOR_RGB2RGBA)
    _patches(place, time, picture, first, height, rng)
    if place in WATER:
        _water(place, time, picture, first, height, rng, backdrop)
    _decorate(place, time, picture, first, height, rng)
    return np.ascontiguousarray(picture[..., :3])


def _patches(
    place: str, time: str, picture: Image, first: int, height: int, rng: np.random.Generator
) -> None:
    """Broad flat stripes of lighter and darker ground: drifts, dunes, mown grass."""
    width = picture.shape[1]
    colours = GROUNDS[place]
    for i in range(9):
        y = HORIZON + 0.03 + 0.43 * (i / 8) ** 1.3
        x = rng.uniform(-0.1, 1.1) * width
        size = depth_of(y) * height
        shade = mix(colours.far, colours.near, (y - HORIZON) / (1 - HORIZON))
        colour = tone(place, time, scaled(shade, 1.06 if i % 2 else 0.93), 0.10)
        spots = [(x + k * size * 0.35, y * height - first + size * 0.012 * (k % 2)) for k in (-1, 0, 1)]
        chain(picture, spots, (size * 0.025, size * 0.045, size * 0.02), colour)


def _water(
    place: str, time: str, picture: Image, first: int, height: int, rng: np.random.Generator, backdrop: Image
) -> None:
    width = picture.shape[1]
    rows = round(SHORE[place] * height) - first
    blue = np.asarray(tone(place, time, WATER[place]), np.float32)
    mirror = cv2.resize(
        backdrop[max(first - 2 * rows, 0) : first][::-1], (width, rows), interpolation=cv2.INTER_AREA
    )
    depth = np.linspace(0.30, 0.55, rows, dtype=np.float32)[:, None, None]
    picture[:rows, :, :3] = mirror * (1 - depth) + blue * depth
    bright = mix(LIGHTS[time].sky[2], (255, 255, 255), 0.45)
    for i in range(26):
        y = rows * (0.06 + 0.9 * (i / 25) ** 1.2)
        length = height * (0.02 + 0.07 * i / 25) * rng.uniform(0.5, 1.3)
        x = rng.uniform(0, width)
        r, g, b = picture[int(y), int(x) % width, :3].tolist()
        colour = mix((r, g, b), bright, 0.45)
        chain(picture, ((x, y), (x + length, y)), (height * 0.0022,) * 2, colour)
    _shoreline(place, time, picture, rows, height, rng)


def _shoreline(
    place: str, time: str, picture: Image, rows: int, height: int, rng: np.random.Generator
) -> None:
    """A winding line where the ground covers the water; on a beach with foam and wet sand."""
    along = np.linspace(0, picture.shape[1], 64)
    edge = rows + height * 0.012 * np.sin(along / height * 9 + rng.uniform(0, 6))
    edge += height * 0.006 * np.sin(along / height * 23)
    below = np.full_like(along, rows + 0.04 * height)
    sand = picture[min(rows + round(0.06 * height), len(picture) - 1), 0, :3].tolist()

    def strip(top: np.ndarray, colour: Colour) -> None:
        polygon(picture, np.column_stack([np.r_[along, along[::-1]], np.r_[top, below]]), colour)

    if place == "beach":
        strip(edge - 0.014 * height, tone(place, time, (252, 254, 255)))
        strip(edge, tone(place, time, (214, 186, 140)))
        edge = edge + 0.018 * height
    strip(edge, (sand[0], sand[1], sand[2]))


def _decorate(
    place: str, time: str, picture: Image, first: int, height: int, rng: np.random.Generator
) -> None:
    """Small things, larger towards the viewer: grass, flowers, stones, drifts."""
    width = picture.shape[1]
    colours = GROUNDS[place]
    start = SHORE.get(place, HORIZON + 0.05) + 0.03
    number = {"flower meadow": 90, "forest": 44, "mountain lake": 40}.get(place, 22)
    spots = sorted((rng.uniform(0, 1) ** 0.75, rng.uniform(0, width), rng.integers(0, 60)) for _ in range(
        round(number * width / height / 1.78)))  # fmt: skip
    for share, x, kind in spots:
        y = start + (0.99 - start) * share
        size = height * 0.055 * depth_of(y)
        row = y * height - first
        grass = tone(place, time, scaled(colours.near, 0.84), 0.12 * (1 - share))
        if place == "flower meadow" and kind % 4:
            petal = tone(place, time, PETALS[kind % len(PETALS)], 0.10 * (1 - share))
            flower(picture, x, row, size * 0.72, petal, scaled(grass, 0.9))
        elif place in ("flower meadow", "forest", "mountain lake"):
            tuft(picture, x, row, size * 0.75, grass)
        else:
            stone = {"snowy forest": (228, 236, 250), "desert": (176, 118, 80), "beach": (198, 160, 120)}[
                place
            ]
            rock(
                picture,
                x,
                row,
                size * (0.55 if kind % 3 else 0.9),
                tone(place, time, stone, 0.1 * (1 - share)),
            )
