"""The convolutions that embed the nano CLIP's patches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class Stem(nn.Sequential):
    """(b, 3, h, w) -> (b, hidden, h/2^n, w/2^n) with n = len(channels) + 1 strided 3x3 convolutions."""

    def __init__(self, channels: Sequence[int], hidden: int) -> None:
        layers: list[nn.Module] = []
        inside = 3
        for outside in channels:
            layers += [nn.Conv2d(inside, outside, 3, 2, 1), nn.GroupNorm(8, outside), nn.ReLU()]
            inside = outside
        super().__init__(*layers, nn.Conv2d(inside, hidden, 3, 2, 1))

    @property
    def weight(self) -> torch.Tensor:
        """CLIPModel asks its patch embedding for the dtype of this."""
        weight: torch.Tensor = self[0].weight
        return weight
