"""Trees, bushes and small things on the ground, drawn on premultiplied RGBA canvases. Sizes in pixels."""

from __future__ import annotations

from math import cos, pi, sin

import numpy as np

from cogexp.nano.world.palette import mix, scaled
from cogexp.nano.world.shapes import Colour, Image, chain, disc, polygon

WHITE: Colour = (255, 255, 255)


def conifer(
    target: Image, x: float, y: float, height: float, leaf: Colour, trunk: Colour, snow: Colour | None
) -> None:
    """A fir of four tiers, lit from the left; with `snow` every tier carries some."""
    width = height * 0.21
    chain(target, ((x, y), (x, y - height * 0.3)), (width * 0.16, width * 0.12), trunk)
    for i in range(4):
        low, top = y - height * (0.13 + 0.19 * i), y - height * (0.46 + 0.18 * i)
        half = width * (1.0 - 0.20 * i)
        skirt = [(x + half * k / 3, low + (half * 0.16 if k % 2 else -half * 0.04)) for k in range(3, -4, -1)]
        polygon(target, [(x, top), *skirt], leaf)
        lit = [(x, top), (x - half * 0.1, low - half * 0.05), *skirt[4:]]
        polygon(target, lit, mix(leaf, WHITE, 0.14))
        if snow is not None:
            cap = top + (low - top) * 0.52
            edge = half * 0.56
            jags = ((1, 0), (0.35, -0.15), (0, 0.22), (-0.45, -0.1), (-1, 0.06))
            polygon(target, [(x, top), *((x + edge * dx, cap + edge * dy) for dx, dy in jags)], snow)


def round_tree(target: Image, x: float, y: float, height: float, leaf: Colour, trunk: Colour) -> None:
    """A broad tree: a crown of discs, lighter towards the upper left."""
    chain(target, ((x, y), (x, y - height * 0.55)), (height * 0.055, height * 0.035), trunk)
    radius = height * 0.24
    spots = ((-0.75, 0.50), (0.75, 0.50), (0.0, 0.46), (-0.45, 0.72), (0.5, 0.72), (0.02, 0.82))
    for dx, up in spots:
        disc(target, x + dx * radius, y - height * up, radius * 0.86, scaled(leaf, 0.84))
    for dx, up in spots:
        disc(target, x + (dx - 0.10) * radius, y - height * (up + 0.03), radius * 0.70, leaf)
    for dx, up in spots[3:]:
        disc(
            target, x + (dx - 0.25) * radius, y - height * (up + 0.045), radius * 0.42, mix(leaf, WHITE, 0.16)
        )


def palm(target: Image, x: float, y: float, height: float, leaf: Colour, trunk: Colour, lean: float) -> None:
    """A leaning palm with seven drooping fronds."""
    stem = [(x + lean * height * t * t, y - height * 0.8 * t) for t in (0, 0.33, 0.66, 1.0)]
    chain(target, stem, [height * r for r in (0.036, 0.028, 0.022, 0.020)], trunk)
    cx, cy = stem[-1]
    for i, angle in enumerate(np.linspace(-0.25, pi + 0.25, 7)):
        tone = scaled(leaf, 0.82) if i % 2 else leaf
        reach = height * 0.34
        dx, dy = cos(angle) * reach, -sin(angle) * reach * 0.62
        arc = [(cx + dx * t, cy + dy * t + reach * 0.55 * t * t) for t in (0, 0.35, 0.7, 1.0)]
        chain(target, arc, [height * r for r in (0.022, 0.040, 0.030, 0.004)], tone)
    for dx in (-0.02, 0.02):
        disc(target, cx + dx * height, cy + 0.02 * height, height * 0.024, scaled(trunk, 0.72))


def cactus(target: Image, x: float, y: float, height: float, leaf: Colour) -> None:
    """A saguaro with two arms and a lit side."""
    r = height * 0.10
    for shift, tone, share in ((0.0, scaled(leaf, 0.86), 1.0), (-0.22, mix(leaf, WHITE, 0.10), 0.55)):
        dx = shift * r
        chain(target, ((x + dx, y), (x + dx, y - height * 0.9)), (r * share, r * 0.92 * share), tone)
        for side, base, top in ((-1, 0.38, 0.68), (1, 0.50, 0.80)):
            bend = x + dx + side * height * 0.24
            arm = ((x + dx, y - height * base), (bend, y - height * base), (bend, y - height * top))
            chain(target, arm, (r * 0.62 * share,) * 3, tone)


def bush(target: Image, x: float, y: float, size: float, leaf: Colour) -> None:
    """A low bush of five discs."""
    for dx, up, share in ((-0.6, 0.1, 0.36), (0.6, 0.1, 0.36), (-0.25, 0.3, 0.42), (0.3, 0.3, 0.42)):
        disc(target, x + dx * size, y - up * size, share * size, scaled(leaf, 0.86))
    disc(target, x - 0.08 * size, y - 0.34 * size, 0.34 * size, mix(leaf, WHITE, 0.10))


def rock(target: Image, x: float, y: float, size: float, colour: Colour) -> None:
    """A smooth stone with a lit top."""
    chain(
        target, ((x - size * 0.45, y), (x + size * 0.4, y - size * 0.06)), (size * 0.34, size * 0.42), colour
    )
    chain(target, ((x - size * 0.42, y - size * 0.12), (x + size * 0.2, y - size * 0.2)),
          (size * 0.16, size * 0.18), mix(colour, WHITE, 0.22))  # fmt: skip


def tuft(target: Image, x: float, y: float, size: float, colour: Colour) -> None:
    """Five blades of grass."""
    for i, lean in enumerate((-0.55, -0.25, 0.05, 0.3, 0.6)):
        tone = colour if i % 2 else scaled(colour, 1.12)
        tip = (x + lean * size, y - size * (1.0 - 0.35 * abs(lean)))
        polygon(
            target,
            [(x + lean * size * 0.3 - size * 0.09, y), (x + lean * size * 0.3 + size * 0.09, y), tip],
            tone,
        )


def flower(target: Image, x: float, y: float, size: float, petal: Colour, stem: Colour) -> None:
    """A stem, five petals and a middle; far ones are just a dot of colour."""
    chain(target, ((x, y), (x, y - size)), (size * 0.06, size * 0.05), stem)
    if size < 5:
        disc(target, x, y - size, size * 0.34, petal)
        return
    for k in range(5):
        angle = 2 * pi * k / 5 + 0.3
        disc(target, x + cos(angle) * size * 0.22, y - size - sin(angle) * size * 0.22, size * 0.19, petal)
    disc(target, x, y - size, size * 0.15, (255, 224, 120))


def cloud(target: Image, x: float, y: float, size: float, colour: Colour, under: Colour) -> None:
    """A flat-bottomed cloud, darker below."""
    bumps = (
        (-0.95, 0.0, 0.26),
        (-0.45, 0.22, 0.40),
        (0.15, 0.32, 0.48),
        (0.70, 0.10, 0.34),
        (1.1, 0.0, 0.22),
    )
    for tone, rise, share in ((under, 0.0, 1.0), (colour, 0.07, 0.90)):
        for dx, up, r in bumps:
            disc(target, x + dx * size, y - (up + rise) * size, r * share * size, tone)
        base = ((x - 0.95 * size, y - rise * size), (x + 1.05 * size, y - rise * size))
        chain(target, base, (0.22 * share * size,) * 2, tone)
