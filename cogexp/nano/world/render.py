"""From a scene to frames: where the animals go, how the camera moves, and the composition of every frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.nano.world.animals import ANIMAL_SIZE, REACH
from cogexp.nano.world.backdrop import Backdrop, backdrop
from cogexp.nano.world.grammar import Scene
from cogexp.nano.world.land import FEET
from cogexp.nano.world.poses import CADENCE, PHASES, POSES, SPEED
from cogexp.nano.world.puppets import draw
from cogexp.nano.world.shapes import Image, over, split_alpha

# A unit of a lone animal, as a share of the height: a wolf is about two units tall.
_UNIT = {1: 0.220, 2: 0.195, 3: 0.175}
# How far the camera travels over a clip at the animals' feet, as a share of the width, at entropy 0 and 1.
# Ten pixels a frame at 512 columns are more than a small VAE learns in CPU hours; five are.
_PAN = (0.08, 0.16)
# How fast everybody moves at entropy 0, as a share of poses.CADENCE and SPEED. Four frames share one latent:
# at 0.5 a runner's seven pixels a frame left him smeared in all frames but the first of a VAE of 31.8 dB.
_SLOWEST = 0.35
# Layouts to choose from at full entropy.
_LAYOUTS = 4096
# Phases at which a movement may begin, from half of the entropy on. At entropy 0 there is one: a denoiser of
# CPU hours showed the mean of four.
_BEGINNINGS = 4


@dataclass(frozen=True, kw_only=True)
class Actor:
    """One animal of a clip. x: the middle of its path, y: its feet (pixels); phase: of PHASES at frame 0."""

    x: float
    y: float
    unit_px: float
    phase: int
    step_px: float


def render(
    scene: Scene, *, width: int, height: int, frames: int, seed: int = 0, entropy: float = 0.5
) -> NDArray[np.uint8]:
    """The scene as a uint8 clip (frames, height, width, 3), the same for the same arguments everywhere.

    entropy 0: the caption decides everything (one layout a place, one beginning of a movement);
    entropy 1: layouts, positions, sizes, light and camera all vary with the seed.
    """
    if not 0.0 <= entropy <= 1.0:
        raise ValueError(f"entropy must be from 0 to 1, got {entropy}")
    if min(width, height, frames) < 1:
        raise ValueError(f"width, height and frames must be positive, got {width}x{height}x{frames}")
    stage = Stage(scene, width, height, frames, seed, entropy)
    return np.stack([stage.frame(index) for index in range(frames)])


class Stage:
    """A scene with its random choices made, ready to show any of its frames."""

    def __init__(self, scene: Scene, width: int, height: int, frames: int, seed: int, entropy: float) -> None:
        rng = np.random.default_rng(seed)
        self.scene = scene
        self.size = (width, height)
        self.frames = frames
        layout = int(rng.integers(1 + round(entropy * (_LAYOUTS - 1))))
        way = {"still": 0.0, "pan left": -1.0, "pan right": 1.0}[scene.camera]
        pan = _PAN[0] + (_PAN[1] - _PAN[0]) * entropy
        self.reach_px = way * pan / 2 * width * (1 + entropy * float(rng.uniform(-0.25, 0.25)))
        self.backdrop: Backdrop = backdrop(
            scene.place, scene.time, width, height, int(abs(self.reach_px)) + 1 if way else 0, layout, entropy
        )
        self.tempo = _SLOWEST + (1 - _SLOWEST) * entropy
        self.actors = _cast(scene, width, height, frames, rng, entropy, self.tempo)

    def frame(self, index: int, *, with_animals: bool = True) -> Image:
        """(height, width, 3) RGB; without the animals it is what the clip would be if they had gone."""
        pan = self._pan(index)
        picture = self.backdrop.behind(pan)
        if with_animals:
            for actor in self.actors:
                self._show(picture, actor, index, pan)
        self.backdrop.before(picture, pan)
        return picture

    def cover(self, index: int) -> NDArray[np.uint8]:
        """(height, width): how much of each pixel animals and their shadows cover, 255 for all of it.

        Read off the animals before black and before white, far cheaper than whole pictures. Blades of grass
        in front of them are not taken off.
        """
        pan, (width, height) = self._pan(index), self.size
        before = [np.full((height, width, 3), value, np.uint8) for value in (0, 255)]
        for picture in before:
            for actor in self.actors:
                self._show(picture, actor, index, pan)
        # One channel of the three is enough: what covers, covers all of them.
        seen_through: NDArray[np.uint8] = before[1][..., 0] - before[0][..., 0]
        return 255 - seen_through

    def _pan(self, index: int) -> float:
        """How far the camera is to the right (px): -1 .. 1 of its reach over the clip.

        The middle of every path so lies at the middle of the clip.
        """
        progress = 2 * index / (self.frames - 1) - 1 if self.frames > 1 else 0.0
        return self.reach_px * progress

    def _show(self, picture: Image, actor: Actor, index: int, pan: float) -> None:
        scene = self.scene
        phase = int(actor.phase + CADENCE[scene.action] * self.tempo * index) % PHASES
        x = actor.x + actor.step_px * (index - (self.frames - 1) / 2) - pan
        pose = POSES[scene.action](phase / PHASES)
        lift = pose.lift + (1.0 if scene.action == "flying" else 0.0)
        _shadow(picture, x, actor.y, actor.unit_px, lift, scene.animal)
        unit = round(actor.unit_px * 4) / 4
        sprite = _sprite(scene.animal, scene.colour, scene.action, phase, scene.time, unit)
        mirrored = scene.direction == "left"
        _place(picture, sprite, x, actor.y - lift * actor.unit_px, mirrored)


def _cast(
    scene: Scene,
    width: int,
    height: int,
    frames: int,
    rng: np.random.Generator,
    entropy: float,
    tempo: float,
) -> list[Actor]:
    """Animals side by side, the farther ones behind; small enough that all fit."""
    number = scene.number
    behind, ahead, above = REACH[scene.animal]
    size = ANIMAL_SIZE[scene.animal] * (1 + entropy * float(rng.uniform(-0.12, 0.12)))
    unit = _UNIT[number] * height * size
    room = width * (0.90 if number > 1 else 0.80)
    unit = min(unit, room / (number * 0.97 * (behind + ahead)), 0.66 * height / (above + 0.9))
    forward = 1.0 if scene.direction == "right" else -1.0
    spread = min(width / (number + 0.15), unit * (behind + ahead) * 1.12)
    # What is left beside the group: a long clip must not walk out of the picture.
    slack = max(width - (number - 1) * spread - unit * (behind + ahead), 0.10 * width)
    step = min(SPEED[scene.action] * tempo * unit, slack / max(frames - 1, 1)) * forward
    slack = max(slack - abs(step) * (frames - 1), 0.0) / 2
    beginnings = 1 + round(min(2 * entropy, 1.0) * (_BEGINNINGS - 1))
    start = int(rng.integers(beginnings)) * (PHASES // _BEGINNINGS)
    actors = []
    drift = entropy * float(rng.uniform(-1, 1)) * min(slack, 0.14 * width)
    for i in range(number):
        place = (i - (number - 1) / 2) * spread
        x = width / 2 + drift + place + entropy * float(rng.uniform(-0.10, 0.10)) * spread
        # The middle one of three, or the first of two, stands a little farther away.
        far = (0.028 if i % 2 == (number == 3) else 0.0) if number > 1 else 0.0
        y = (FEET - far + entropy * float(rng.uniform(-0.012, 0.018))) * height
        phase = (start + i * int(max(CADENCE[scene.action], 1.0)) * 2) % PHASES
        actors.append(Actor(x=x, y=y, unit_px=unit * (1 - far * 1.6), phase=phase, step_px=step))
    return sorted(actors, key=lambda actor: actor.y)


@lru_cache(maxsize=512)
def _sprite(
    animal: str, colour: str, action: str, phase: int, time: str, unit_px: float
) -> tuple[Image, float, float]:
    """(premultiplied RGBA, x and y of its feet in it); the lift of a jump is left to the placing."""
    image, (x, y) = draw(animal, colour, POSES[action](phase / PHASES), time, unit_px)
    return image, x, y


def _place(picture: Image, sprite: tuple[Image, float, float], x: float, y: float, mirrored: bool) -> None:
    """Lay a sprite at a fractional position, in place."""
    image, foot_x, foot_y = sprite
    if mirrored:
        image, foot_x = image[:, ::-1], image.shape[1] - foot_x
    left, top = x - foot_x, y - foot_y
    column, row = int(np.floor(left)), int(np.floor(top))
    shift = np.array([[1, 0, left - column], [0, 1, top - row]], np.float32)
    moved = cv2.warpAffine(image, shift, (image.shape[1] + 1, image.shape[0] + 1), flags=cv2.INTER_LINEAR)
    x0, y0 = max(column, 0), max(row, 0)
    x1 = min(column + moved.shape[1], picture.shape[1])
    y1 = min(row + moved.shape[0], picture.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    part = moved[y0 - row : y1 - row, x0 - column : x1 - column]
    over(picture[y0:y1, x0:x1], *split_alpha(part))


@lru_cache(maxsize=64)
def _blot(width: int, height: int) -> NDArray[np.float32]:
    """A soft ellipse, 0..1."""
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    blot: NDArray[np.float32] = np.clip(1 - (x * x + y * y), 0, 1) ** np.float32(1.2)
    return blot


def _shadow(picture: Image, x: float, y: float, unit: float, lift: float, animal: str) -> None:
    """A soft shadow on the ground: smaller and fainter the higher the animal is."""
    behind, ahead, _ = REACH[animal]
    half_w = max(round(unit * (behind + ahead) * 0.40 / (1 + 0.35 * lift)), 2)
    half_h = max(round(unit * 0.22 / (1 + 0.35 * lift)), 2)
    blot = _blot(2 * half_w, 2 * half_h)
    x0, y0 = round(x) - half_w, round(y) - half_h
    a, b = max(x0, 0), max(y0, 0)
    c, d = min(x0 + 2 * half_w, picture.shape[1]), min(y0 + 2 * half_h, picture.shape[0])
    if a >= c or b >= d:
        return
    dark = 1 - (0.42 / (1 + 0.5 * lift)) * blot[b - y0 : d - y0, a - x0 : c - x0, None]
    region = picture[b:d, a:c]
    region[:] = region * dark
