"""Colours of the nano world: coats, places, and the light of day, sunset and night. RGB 0..255."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cogexp.nano.world.shapes import Colour

COATS: dict[str, Colour] = {
    "gray": (138, 146, 160),
    "white": (248, 246, 240),
    "black": (56, 56, 70),
    "brown": (142, 90, 52),
    "golden": (246, 186, 58),
    "red": (212, 62, 52),
    "blue": (66, 122, 222),
}


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`a` at share 0, `b` at share 1."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def scaled(a: Colour, factor: float) -> Colour:
    """Lighter or darker, within 0..255."""
    return (min(a[0] * factor, 255.0), min(a[1] * factor, 255.0), min(a[2] * factor, 255.0))


@dataclass(frozen=True, kw_only=True)
class Light:
    """The light of one time of day.

    gain, lift: a day colour c becomes c*gain + lift. animal: how much of that the animals take, 0..1: their
    colour must stay readable at night. sky: from the zenith to the horizon. rim: light on upper edges.
    """

    gain: Colour
    lift: Colour
    animal: float
    sky: tuple[Colour, Colour, Colour]
    glow: Colour
    lamp: Colour
    cloud: Colour
    rim: Colour
    rim_strength: float

    def grade(self, colour: Colour, amount: float = 1.0) -> Colour:
        """A colour as this light shows it."""
        r, g, b = (
            min(c * gain + lift, 255.0) for c, gain, lift in zip(colour, self.gain, self.lift, strict=True)
        )
        return mix(colour, (r, g, b), amount)


LIGHTS: dict[str, Light] = {
    "day": Light(
        gain=(1.0, 1.0, 1.0),
        lift=(0, 0, 0),
        animal=1.0,
        sky=((58, 138, 228), (122, 190, 246), (222, 240, 250)),
        glow=(255, 250, 220),
        lamp=(255, 226, 96),
        cloud=(255, 255, 255),
        rim=(255, 255, 240),
        rim_strength=0.25,
    ),
    "sunset": Light(
        gain=(0.86, 0.62, 0.58),
        lift=(34, 8, 22),
        animal=0.42,
        sky=((70, 48, 122), (214, 92, 112), (255, 190, 104)),
        glow=(255, 196, 96),
        lamp=(255, 236, 150),
        cloud=(255, 158, 136),
        rim=(255, 190, 110),
        rim_strength=0.75,
    ),
    "night": Light(
        gain=(0.30, 0.38, 0.56),
        lift=(8, 14, 38),
        animal=0.42,
        sky=((10, 14, 48), (24, 38, 92), (66, 92, 150)),
        glow=(150, 176, 230),
        lamp=(252, 246, 214),
        cloud=(62, 80, 132),
        rim=(170, 200, 255),
        rim_strength=0.65,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Day colours of one place. ridge: the farthest hills; far, near: the ground there and here."""

    ridge: Colour
    hill: Colour
    far: Colour
    near: Colour
    leaf: Colour
    trunk: Colour
    front: Colour


GROUNDS: dict[str, Ground] = {
    "forest": Ground(
        ridge=(120, 160, 170), hill=(74, 128, 96), far=(126, 170, 88), near=(70, 122, 56),
        leaf=(46, 116, 68), trunk=(104, 74, 52), front=(22, 54, 36),
    ),
    "snowy forest": Ground(
        ridge=(176, 196, 222), hill=(204, 218, 236), far=(232, 240, 250), near=(206, 222, 244),
        leaf=(52, 106, 98), trunk=(96, 76, 66), front=(96, 122, 160),
    ),
    "desert": Ground(
        ridge=(204, 132, 98), hill=(216, 160, 104), far=(240, 206, 140), near=(226, 174, 102),
        leaf=(82, 146, 84), trunk=(82, 146, 84), front=(132, 84, 52),
    ),
    "beach": Ground(
        ridge=(118, 166, 172), hill=(92, 160, 120), far=(250, 232, 186), near=(240, 208, 146),
        leaf=(52, 142, 82), trunk=(150, 108, 70), front=(34, 92, 66),
    ),
    "flower meadow": Ground(
        ridge=(132, 184, 170), hill=(122, 190, 106), far=(168, 214, 100), near=(96, 172, 66),
        leaf=(84, 166, 74), trunk=(120, 84, 56), front=(40, 104, 44),
    ),
    "mountain lake": Ground(
        ridge=(128, 146, 182), hill=(74, 122, 110), far=(142, 178, 104), near=(94, 142, 76),
        leaf=(40, 104, 84), trunk=(98, 74, 56), front=(24, 62, 54),
    ),
}  # fmt: skip

WATER: dict[str, Colour] = {"beach": (34, 150, 190), "mountain lake": (72, 146, 190)}
PETALS: tuple[Colour, ...] = (
    (246, 84, 98), (255, 214, 70), (250, 250, 250), (206, 110, 214), (255, 150, 80),
)  # fmt: skip


def sky_rows(light: Light, rows: int, horizon: float) -> np.ndarray:
    """(rows, 1, 3) float32 sky: three colours from the top row to the horizon (a share of the height)."""
    y = np.linspace(0, 1, rows, dtype=np.float32) / horizon
    stops = np.array([0.0, 0.55, 1.0], np.float32)
    channels = [np.interp(y, stops, [colour[c] for colour in light.sky]) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)[:, None, :]
