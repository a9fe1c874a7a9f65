"""Large activations made small where they arise: principal components, and the strongest channels.

Nothing here keeps more than a sample of the tokens in float32, so that it works on a full GPU too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

SAMPLE = 768  # tokens that the components are fitted to
CHUNK = 4096  # tokens projected at once


@dataclass(frozen=True, kw_only=True)
class Components:
    """Scores (n, 3) float32 on the first three principal components, and their shares of the variance."""

    scores: np.ndarray
    shares: tuple[float, float, float]


@torch.no_grad()
def components(tokens: Tensor) -> Components:
    """Principal components of `tokens` (n, d): fitted to an even sample, then all tokens are projected.

    Signs are fixed (the largest loading is positive), so that the same tokens have the same scores.
    """
    count, width = tokens.shape
    some = tokens[:: max(1, -(-count // SAMPLE))].float()
    mean = some.mean(0)
    some = some - mean
    wide = width > len(some)
    values, vectors = torch.linalg.eigh(some @ some.T if wide else some.T @ some)
    values, vectors = values.flip(0).clamp_min(0)[:3], vectors.flip(1)[:, :3]
    axes = some.T @ vectors if wide else vectors
    axes = axes / axes.norm(dim=0).clamp_min(1e-20)
    axes = axes * (values > 1e-6 * values[0])  # fewer tokens than components: roundoff is no direction
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    axes = axes * torch.where(largest < 0, -1.0, 1.0)
    scores = torch.cat(
        [(tokens[at : at + CHUNK].float() - mean) @ axes for at in range(0, count, CHUNK)]
    ).cpu()
    total = float(some.square().sum()) or 1.0
    shares = [float(value) / total for value in values] + [0.0, 0.0]
    padded = torch.nn.functional.pad(scores, (0, 3 - scores.shape[1]))
    return Components(scores=padded.numpy(), shares=(shares[0], shares[1], shares[2]))


def agree(scores: np.ndarray, before: np.ndarray) -> np.ndarray:
    """`scores` (n, 3) turned to agree with those `before` as well as a rotation can (Schoenemann 1966).

    Components have no order or sign of their own; turned, the colours of two pictures can be compared.
    """
    turned, _, back = np.linalg.svd(scores.T @ before)
    result: np.ndarray = scores @ (turned @ back)
    return result


def to_rgb(scores: np.ndarray) -> np.ndarray:
    """(..., 3) scores -> uint8 colours: the first component is red, and 1 to 99 % fill the scale."""
    flat = scores.reshape(-1, 3)
    low, high = np.percentile(flat, 1, axis=0), np.percentile(flat, 99, axis=0)
    unit = (scores - low) / np.maximum(high - low, 1e-12)
    rgb: np.ndarray = (unit.clip(0, 1) * 255).round().astype(np.uint8)
    return rgb


@dataclass(frozen=True, kw_only=True)
class Maps:
    """A layer of the VAE at one moment: colours of its components (h, w, 3) uint8, and some channels.

    `channels` are the indices of those with the largest standard deviation over the picture, `maps`
    (k, h, w) their values, `shape` that of the whole output (c, t, h, w) in this call.
    """

    shape: tuple[int, ...]
    rgb: np.ndarray
    share: float
    channels: tuple[int, ...]
    maps: np.ndarray


@torch.no_grad()
def feature_maps(output: Tensor, *, widest: int, count: int) -> Maps:
    """Reduce (1, c, t, h, w): its last frame, at most `widest` px wide (averaged), and `count` channels."""
    frame = output[0, :, -1]
    height, width = frame.shape[-2:]
    if width > widest:
        size = (max(1, round(height * widest / width)), widest)
        frame = torch.nn.functional.adaptive_avg_pool2d(frame, size)
    frame = frame.float()
    found = components(frame.flatten(1).T)
    strongest = frame.flatten(1).std(1).topk(min(count, len(frame))).indices
    return Maps(
        shape=tuple(output.shape[1:]),
        rgb=to_rgb(found.scores.reshape(*frame.shape[1:], 3)),
        share=sum(found.shares),
        channels=tuple(strongest.tolist()),
        maps=frame[strongest].cpu().numpy(),
    )
