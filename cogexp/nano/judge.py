"""A classifier of the nano world's attributes, trained only on renders: it reads what a generated clip shows.

Independent of the CLIP that scores and of the model that generates. Input: three frames of a clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cogexp.nano.clip import squeeze
from cogexp.nano.weights import FOLDER, weight_file
from cogexp.nano.world.grammar import CHOICES, Scene

# Width and height at which the judge looks, and the share of the clip at which its frames lie.
LOOK = (192, 112)
MOMENTS = (0.0, 0.5, 1.0)


class _Block(nn.Module):
    """A residual block of two 3x3 convolutions; halves the picture when `stride` is 2."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(8, inside),
            nn.SiLU(),
            nn.Conv2d(inside, outside, 3, stride, 1),
            nn.GroupNorm(8, outside),
            nn.SiLU(),
            nn.Conv2d(outside, outside, 3, 1, 1),
        )
        self.skip = nn.Conv2d(inside, outside, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, inside, h, w) -> (b, outside, h/stride, w/stride)."""
        return self.skip(x) + self.body(x)


class Judge(nn.Module):
    """Three frames stacked as nine channels -> logits of every attribute."""

    def __init__(self) -> None:
        super().__init__()
        widths = (24, 40, 72, 96, 128)
        self.stem = nn.Conv2d(9, widths[0], 5, 2, 2)
        self.blocks = nn.Sequential(*(_Block(a, b, 2) for a, b in pairwise(widths)))
        self.mixer = nn.Sequential(nn.GroupNorm(8, widths[-1]), nn.SiLU())
        self.heads = nn.ModuleDict({name: nn.Linear(2 * widths[-1], len(c)) for name, c in CHOICES.items()})

    def forward(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        """(b, 9, 112, 192) in [-1, 1] -> attribute -> (b, choices)."""
        features = self.mixer(self.blocks(self.stem(pictures)))
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        return {name: head(pooled) for name, head in self.heads.items()}


def build_judge(seed: int) -> Judge:
    """A judge with seeded random weights; the caller's random state is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Judge().eval()


def load_judge(path: Path | None = None) -> Judge:
    """A trained judge from its safetensors file. Raises FileNotFoundError when it is not there."""
    from safetensors.torch import load_file

    file = path or weight_file("judge", FOLDER)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: the judge is not trained yet (python -m cogexp.nano.train judge)")
    judge = build_judge(0)
    judge.load_state_dict({name: tensor.float() for name, tensor in load_file(file).items()})
    return judge


def moments(frames: int) -> tuple[int, ...]:
    """The frames of a clip at which the judge looks."""
    return tuple(round(share * (frames - 1)) for share in MOMENTS)


def to_input(clips: NDArray[np.uint8], device: torch.device | str = "cpu") -> torch.Tensor:
    """uint8 (b, 3 moments, 112, 192, 3) -> float32 (b, 9, 112, 192) in [-1, 1]."""
    tensor = torch.from_numpy(np.ascontiguousarray(clips)).to(device)
    return tensor.permute(0, 1, 4, 2, 3).flatten(1, 2).float().div_(127.5).sub_(1.0)


@torch.no_grad()
def read_clip(judge: Judge, clip: NDArray[np.uint8]) -> dict[str, str]:
    """What a uint8 clip (t, h, w, 3) of any size shows: attribute -> value."""
    chosen = squeeze(clip[list(moments(len(clip)))], LOOK)
    device = next(judge.parameters()).device
    logits = judge(to_input(chosen[None], device))
    return {name: CHOICES[name][int(row[0].argmax())] for name, row in logits.items()}


def adherence(judge: Judge, clips: Sequence[NDArray[np.uint8]], scenes: Sequence[Scene]) -> dict[str, float]:
    """Share of clips that show the asked value of each attribute; `all`: the five that a still shows."""
    readings = [read_clip(judge, clip) for clip in clips]
    right = {
        name: [reading[name] == getattr(scene, name) for reading, scene in zip(readings, scenes, strict=True)]
        for name in CHOICES
    }
    core = ("place", "time", "animal", "colour", "count")
    together = [all(right[name][i] for name in core) for i in range(len(readings))]
    return {**{name: float(np.mean(hits)) for name, hits in right.items()}, "all": float(np.mean(together))}
