"""What a training step wants to see, as plain values, and rendering it: the same in every process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.nano.world import Scene, Stage, caption, sample_scene, vary
from cogexp.nano.world.grammar import CHOICES, OMITTABLE, actions_of

if TYPE_CHECKING:
    import torch

# Clips are nine frames long wherever nothing else is said.
CLIP_FRAMES = 9
# Pixels a latent stands for along rows and columns.
STRIDE = 8
# Where a batch has none, or leaves them elsewhere.
NO_PIXELS = np.empty((0, 0, 0, 0, 3), np.uint8)
# Which latent frame each of the nine frames belongs to.
LATENT_FRAME_OF = (0, 1, 1, 1, 1, 2, 2, 2, 2)
# Frames at which animals are looked for, of those that each latent frame stands for (1, then 4 at a time).
_MOMENTS = ((0,), (1, 4), (5, 8))
# Attributes whose one-attribute variants make hard negatives.
VARIED = ("count", "colour", "animal", "action", "direction", "place", "time")


@dataclass(frozen=True, kw_only=True)
class Order:
    """One batch. `group` scenes share everything but one attribute each; `frames` are the frames returned.

    width, height: the rendered size; look: the size returned, (0, 0) for as rendered. wear: 0..1, how much
    blur and noise are added, so that a scorer is not thrown by a generated clip's softness.
    crop: (height, width) of `cuts` pieces of each clip, (0, 0) for the whole picture. Of kept latents it is
    in latents, and the clips are shared out among the `cuts` windows of `moments` latent frames (0: all).
    animals: also say where the animals are.
    """

    seed: int
    clips: int
    width: int
    height: int
    frames: tuple[int, ...] = tuple(range(CLIP_FRAMES))
    entropy: float = 0.5
    split: str = "train"
    group: int = 1
    look: tuple[int, int] = (0, 0)
    wear: float = 0.0
    random_frame: bool = False
    plain: bool = False
    crop: tuple[int, int] = (0, 0)
    cuts: int = 1
    moments: int = 0
    animals: bool = False

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(clips * cuts, frames, height, width, 3) of the pixels."""
        width, height = self.look if self.look[0] else (self.width, self.height)
        if self.crop[0]:
            height, width = min(self.crop[0], height), min(self.crop[1], width)
        return (self.clips * self.cuts, 1 if self.random_frame else len(self.frames), height, width, 3)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One window of some clips' latents, the same for all: latents (b, f, 16, h, w).

    animals: (b, f, h, w), the share of each latent's pixels that animals cover. at: latent frame, row and
    column of the window in the whole, whole: frames, rows and columns of that.
    """

    latents: torch.Tensor
    animals: torch.Tensor
    at: tuple[int, int, int]
    whole: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """pixels: uint8 (clips, frames, height, width, 3); none where latents are kept (latents.Keeper).

    animals, when ordered: uint8 (clips, 3, height/8, width/8), how much of each latent's pixels they cover.
    """

    pixels: NDArray[np.uint8]
    captions: tuple[str, ...]
    scenes: tuple[Scene, ...]
    animals: NDArray[np.uint8] | None = None
    pieces: tuple[Piece, ...] = ()


def scenes_of(order: Order) -> tuple[Scene, ...]:
    """The scenes of a batch: `clips / group` of them, each followed by its one-attribute variants."""
    rng = np.random.default_rng([order.seed, 1])
    scenes: list[Scene] = []
    while len(scenes) < order.clips:
        scene = sample_scene(rng, order.split)
        scenes.append(scene)
        for attribute in rng.permutation(VARIED)[: order.group - 1]:
            if len(scenes) < order.clips:
                scenes.append(variant(scene, str(attribute), rng))
    return tuple(scenes)


def variant(scene: Scene, attribute: str, rng: np.random.Generator) -> Scene:
    """`vary`, where possible: a flying bird keeps its kind and changes its colour instead."""
    if attribute == "animal" and scene.action == "flying":
        attribute = "colour"
    return vary(scene, attribute, rng)


def caption_of(scene: Scene, rng: np.random.Generator, *, plain: bool) -> str:
    """A training caption: often every attribute, sometimes fewer, in many styles."""
    if plain:
        return caption(scene)
    gone: list[str] = []
    if rng.random() < 0.2:
        # Up to everything: people write 'two wolves', and something definite must come.
        share = float(rng.choice((0.3, 0.6, 1.0)))
        gone = [name for name in OMITTABLE if rng.random() < share]
    return caption(scene, int(rng.integers(1, 2**31)), omit=gone)


def fill(order: Order, pixels: NDArray[np.uint8]) -> Batch:
    """Render the order into `pixels` (of order.shape), which become those of the batch."""
    scenes = scenes_of(order)
    rng = np.random.default_rng([order.seed, 2])
    captions = tuple(caption_of(scene, rng, plain=order.plain) for scene in scenes)
    layout, animals = 0, []
    for index, scene in enumerate(scenes):
        # Variants keep their scene's layout: only the attribute tells them apart.
        if index % order.group == 0:
            layout = int(rng.integers(2**31))
        stage = Stage(scene, order.width, order.height, CLIP_FRAMES, layout, order.entropy)
        wanted = (int(rng.integers(CLIP_FRAMES)),) if order.random_frame else order.frames
        pictures = [stage.frame(frame) for frame in wanted]
        if order.animals:
            animals.append(_covered(stage))
        if order.look[0]:
            pictures = [cv2.resize(picture, order.look, interpolation=cv2.INTER_AREA) for picture in pictures]
        for cut in range(index * order.cuts, (index + 1) * order.cuts):
            _cut(pictures, pixels[cut], rng)
            if order.wear:
                _wear(pixels[cut], order.wear, rng)
    return Batch(
        pixels=pixels, captions=captions, scenes=scenes, animals=np.stack(animals) if animals else None
    )


def _covered(stage: Stage) -> NDArray[np.uint8]:
    """(3, h/8, w/8): how much of each latent's pixels animals cover at any of its moments."""
    grid = (stage.size[0] // STRIDE, stage.size[1] // STRIDE)
    rows = [
        np.max([cv2.resize(stage.cover(i), grid, interpolation=cv2.INTER_AREA) for i in moment], axis=0)
        for moment in _MOMENTS
    ]
    return np.stack(rows)


def _cut(pictures: list[NDArray[np.uint8]], target: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Copy a random piece of the target's size, half of the time from the lower half, where animals walk."""
    height, width = target.shape[1:3]
    spare = (pictures[0].shape[0] - height, pictures[0].shape[1] - width)
    y = int(rng.integers(spare[0] // 2 if rng.random() < 0.5 else 0, spare[0] + 1))
    x = int(rng.integers(spare[1] + 1))
    for row, picture in enumerate(pictures):
        target[row] = picture[y : y + height, x : x + width]


def _wear(clip: NDArray[np.uint8], amount: float, rng: np.random.Generator) -> None:
    """Blur, noise and a change of exposure, in place, the same for all frames of the clip."""
    sigma = amount * float(rng.uniform(0, 1.6)) * float(rng.random() < 0.6)
    noise = amount * float(rng.uniform(0, 10)) * float(rng.random() < 0.5)
    gain, lift = 1 + amount * float(rng.uniform(-0.08, 0.08)), amount * float(rng.uniform(-8, 8))
    for frame in clip:
        worn = cv2.GaussianBlur(frame, (0, 0), sigma) if sigma > 0.25 else frame
        rough = worn.astype(np.float32) * gain + lift
        if noise:
            rough += rng.standard_normal(frame.shape, np.float32) * noise
        frame[:] = np.clip(rough, 0, 255)


def render_order(order: Order) -> Batch:
    """The order as a new batch, in this process."""
    return fill(order, np.empty(order.shape, np.uint8))


def labels_of(scenes: Sequence[Scene]) -> dict[str, NDArray[np.int64]]:
    """Index of every attribute's value in CHOICES, one array an attribute."""
    return {
        name: np.array([choices.index(getattr(scene, name)) for scene in scenes])
        for name, choices in CHOICES.items()
    }


def hard_negatives(scenes: Sequence[Scene], attribute: str, seed: int) -> list[Scene]:
    """Each scene with this attribute changed; scenes where it cannot change are changed to walking first."""
    rng = np.random.default_rng([seed, 3])
    changed = []
    for scene in scenes:
        if attribute == "animal" and scene.action == "flying":
            raise ValueError("hard_negatives: choose scenes without flying birds for 'animal'")
        if attribute == "action" and len(actions_of(scene.animal)) < 2:
            raise ValueError(f"hard_negatives: {scene.animal} has one action")
        changed.append(vary(scene, attribute, rng))
    return changed
