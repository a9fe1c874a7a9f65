"""One 3x3 convolution of a band of rows by Winograd's F(4x4, 3x3): see `winograd`, which puts bands together.

The changes of basis are those of Lavin and Gray (arXiv:1509.09308, section 4.3), an axis at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor

Op = Callable[[], Any]
Store = tuple[tuple[Any, ...], Tensor]  # an index into the pixels of a band, and where they go


@dataclass(frozen=True, kw_only=True)
class Layer:
    """filters (36, channels in, channels out), bias (out,), slopes (out,) of its PReLU or None."""

    filters: Tensor
    bias: Tensor
    slopes: Tensor | None


class Scratch:
    """A thread's memory for the values of one band: little and reused, so that it stays in the cache."""

    def __init__(self, unit: int) -> None:
        self.here, self.there = torch.empty(36 * unit), torch.empty(36 * unit)
        self.spare = torch.empty(12 * unit)


def _view(memory: Tensor, *shape: int) -> Tensor:
    return memory[: prod(shape)].view(shape)


class Band:
    """One convolution of the rows of blocks `span`, its views and additions prepared once.

    `source` are planes of c channels, `out` the channels made. Axes of the values: point or pixel across,
    point or pixel down, row of blocks, column of blocks, channel; of the final pixels: down, across, ...
    """

    def __init__(
        self, scratch: Scratch, source: list[Tensor], span: slice, out: int, stores: list[Store]
    ) -> None:
        columns, channels = source[0].shape[2] - 1, source[0].shape[3]
        count = span.stop - span.start
        here, there, spare = scratch.here, scratch.there, scratch.spare
        lines = _view(there, 6, count, 4, columns + 1, channels)
        values = _view(here, 6, 6, count, columns, channels)
        products = _view(there, 6, 6, count, columns, out)
        half = _view(here, 4, 6, count, columns, out)
        self.pixels = _view(there, 4, 4, count, columns, out)
        self.scaled = _view(here, 4, 4, count, columns, out)
        rows = [source[i % 4][span.start + i // 4 : span.stop + i // 4] for i in range(6)]
        shifted = [lines[:, :, j % 4, j // 4 : columns + j // 4] for j in range(6)]
        self.before = [
            *spread(rows, lines, _view(spare, 2, count, 4, columns + 1, channels)),
            *spread(shifted, values, _view(spare, 2, 6, count, columns, channels)),
        ]
        self.after = [
            *gather(products, half, _view(spare, 2, 6, count, columns, out)),
            *gather(half.unbind(1), self.pixels, _view(spare, 2, 4, count, columns, out)),
        ]
        self.values, self.products = values.view(36, -1, channels), products.view(36, -1, out)
        self.ones = products[1, 1]  # added at the points (1, 1), a value reaches all 16 pixels
        self.stores = [
            (self.pixels[at].view(target.shape), self.scaled[at].view(target.shape), target)
            for at, target in stores
        ]

    def run(self, layer: Layer) -> None:
        """Convolve, add the bias, apply the PReLU if the layer has one, and store."""
        for op in self.before:
            op()
        torch.bmm(self.values, layer.filters, out=self.products)
        self.ones.add_(layer.bias)
        for op in self.after:
            op()
        if layer.slopes is None:
            for pixels, _, target in self.stores:
                target.copy_(pixels)
            return
        torch.mul(self.pixels, layer.slopes, out=self.scaled)
        for pixels, scaled, target in self.stores:
            torch.maximum(pixels, scaled, out=target)


def spread(d: Sequence[Tensor], out: Sequence[Tensor], spare: Sequence[Tensor]) -> list[Op]:
    """out = B^T d: six lines of pixels to values at the six points."""
    even, odd = spare
    return [
        partial(torch.sub, d[4], d[2], out=even),
        partial(torch.sub, d[3], d[1], out=odd),
        partial(torch.add, even, odd, alpha=2, out=out[3]),
        partial(torch.sub, even, odd, alpha=2, out=out[4]),
        partial(torch.sub, d[0], d[2], out=out[0]),
        partial(torch.add, even, out[0], alpha=4, out=out[0]),
        partial(torch.sub, d[5], d[3], out=out[5]),
        partial(torch.sub, out[5], odd, alpha=4, out=out[5]),
        partial(torch.sub, d[4], d[2], alpha=4, out=even),
        partial(torch.sub, d[3], d[1], alpha=4, out=odd),
        partial(torch.add, even, odd, out=out[1]),
        partial(torch.sub, even, odd, out=out[2]),
    ]


def gather(m: Sequence[Tensor], out: Sequence[Tensor], spare: Sequence[Tensor]) -> list[Op]:
    """out = A^T m: products at the six points to four lines of pixels."""
    sums, differences = spare
    return [
        partial(torch.add, m[1], m[2], out=sums),
        partial(torch.sub, m[1], m[2], out=differences),
        partial(torch.add, m[3], m[4], out=out[2]),
        partial(torch.sub, m[3], m[4], out=out[3]),
        partial(torch.add, m[0], sums, out=out[0]),
        partial(torch.add, out[0], out[2], out=out[0]),
        partial(torch.add, differences, out[3], alpha=2, out=out[1]),
        partial(torch.add, sums, out[2], alpha=4, out=out[2]),
        partial(torch.add, differences, out[3], alpha=8, out=out[3]),
        partial(torch.add, out[3], m[5], out=out[3]),
    ]
