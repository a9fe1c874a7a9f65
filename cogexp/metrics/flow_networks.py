"""Motion with learned networks.

RAFT for the warping error, a frame interpolator for VBench's motion smoothness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.clip_frames import EvalClip, Frames
from cogexp.metrics.motion import Flow, warp_errors
from cogexp.metrics.score import Context, Score, from_values


class FlowNetwork(Protocol):
    """Optical flow by a network. Its `name` is recorded beside the score."""

    @property
    def name(self) -> str: ...

    def flow(self, first: Frames, second: Frames) -> NDArray[np.float32]:
        """Two (n, h, w, 3) uint8 -> (n, h, w, 2) px, x before y.

        Where the first's pixels are in the second.
        """


class Interpolator(Protocol):
    """A network that makes the frame between two. Its `name` is recorded beside the score."""

    @property
    def name(self) -> str: ...

    def between(self, first: Frames, second: Frames) -> Frames:
        """Two (n, h, w, 3) uint8 -> (n, h, w, 3) uint8."""


@dataclass(frozen=True, kw_only=True)
class RaftNetwork:
    """torchvision's RAFT (Teed and Deng 2020). Sizes are padded to multiples of 8 by repeating the edge."""

    name: str
    model: Any
    device: str = "cpu"

    def flow(self, first: Frames, second: Frames) -> NDArray[np.float32]:
        """Two (n, h, w, 3) uint8 -> (n, h, w, 2) float32 px."""
        import torch
        from torch.nn.functional import pad

        _, h, w, _ = first.shape

        def planes(frames: Frames) -> Any:
            tensor = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).to(self.device)
            return pad(tensor.float() / 127.5 - 1.0, (0, -w % 8, 0, -h % 8), mode="replicate")

        with torch.inference_mode():
            flow = self.model(planes(first), planes(second))[-1][:, :, :h, :w]
        return np.asarray(flow.permute(0, 2, 3, 1).float().cpu().numpy(), dtype=np.float32)


def warp_error_raft(clip: EvalClip, context: Context) -> Score:
    """The warping error of motion.py with RAFT's flow. >= 0 levels, lower is better."""
    network: FlowNetwork = context.network("raft", "raft_large")
    frames = clip.frames
    errors = []
    for i in range(len(frames) - 1):  # one pair at a time: RAFT's cost volume is large
        first, second = frames[i : i + 1], frames[i + 1 : i + 2]
        flow = Flow(forward=network.flow(first, second), backward=network.flow(second, first))
        errors.append(warp_errors(frames[i : i + 2], flow))
    reason = "no pair of frames shows the same scene"
    return from_values(np.concatenate(errors), note=f"flow: {network.name}", reason=reason)


def motion_smoothness(clip: EvalClip, context: Context) -> Score:
    """VBench's motion smoothness: every second frame is made from its neighbours and compared with what was
    there.

    (255 - mean |made - real|) / 255: 0..1, higher is better. Source: VBench, motion_smoothness.py.
    """
    if len(clip.frames) < 3:
        return Score(value=None, reason="needs three frames")
    network: Interpolator = context.network("interpolator", "AMT-S")
    real = clip.frames[1:-1:2]
    before, after = clip.frames[:-2:2], clip.frames[2::2]
    parts = []
    for start in range(0, len(real), context.batch):
        part = slice(start, start + context.batch)
        made = network.between(before[part], after[part]).astype(np.float32)
        parts.append(np.abs(made - real[part].astype(np.float32)).mean((1, 2, 3)))
    difference = np.concatenate(parts)
    return from_values((255.0 - difference.astype(np.float64)) / 255.0, note=network.name)
