"""LPIPS between adjacent frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.clip_frames import EvalClip, Frames
from cogexp.metrics.score import Context, Score, from_values


class PerceptualNetwork(Protocol):
    """A learned distance of two pictures. Its `name` is recorded beside the score."""

    @property
    def name(self) -> str: ...

    def distance(self, first: Frames, second: Frames) -> NDArray[np.float32]:
        """Two (n, h, w, 3) uint8 -> (n,) distances."""


@dataclass(frozen=True, kw_only=True)
class LpipsNetwork:
    """`lpips.LPIPS` with its backbone in place."""

    name: str
    model: Any
    device: str = "cpu"

    def distance(self, first: Frames, second: Frames) -> NDArray[np.float32]:
        """Two (n, h, w, 3) uint8 -> (n,) LPIPS. The network wants [-1, 1]."""
        import torch

        def planes(frames: Frames) -> Any:
            tensor = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
            return tensor.to(self.device).float() / 127.5 - 1.0

        with torch.inference_mode():
            distances = self.model(planes(first), planes(second))
        return np.asarray(distances.reshape(-1).float().cpu().numpy(), dtype=np.float32)


def lpips_adjacent(clip: EvalClip, context: Context) -> Score:
    """Mean LPIPS (AlexNet, v0.1) of adjacent frames. >= 0, lower is better (Zhang et al. 2018).

    A still clip has 0: read it beside motion_px.
    """
    network: PerceptualNetwork = context.network("lpips", "alex")
    frames, step = clip.frames, context.batch
    parts = [
        network.distance(frames[i : i + step][: len(frames) - 1 - i], frames[i + 1 : i + 1 + step])
        for i in range(0, len(frames) - 1, step)
    ]
    return from_values(np.concatenate(parts), note=network.name)
