"""The compact network on a CPU by Winograd's minimal filtering, F(4x4, 3x3): a quarter of the products.

A 3x3 convolution of a 4x4 block of pixels is 144 multiplications a channel pair, or 36 after a change of
basis: Y = A^T [ (G g G^T) * (B^T d B) ] A  (Lavin and Gray, "Fast Algorithms for Convolutional Neural
Networks", 2015, arXiv:1509.09308, section 4.3). The changes of basis are additions, here done by whole rows
of blocks; the multiplications are one batched matrix product for each band of rows small enough for the
cache. PyTorch's own CPU convolution multiplies directly.

Activations lie in four `planes`, one for each row of a block, so that every addition runs over long
contiguous memory: planes[s][q, r, u, c] is padded pixel (4q + s, 4u + r), channel c; padded pixel p is
pixel p - 1, so that row and column 0 are the zero border.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor

BAND_BLOCKS = 128  # blocks of 4x4 pixels worked on at once: about 2 MB of intermediate values
MOST_THREADS = 8  # beyond, Python cannot hand out the operations fast enough
# The interpolation points are 0, 1, -1, 2, -2 and infinity.
FILTER_BASIS = torch.tensor(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    dtype=torch.float64,
)

Op = Callable[[], Any]
_Store = tuple[tuple[Any, ...], Tensor]  # an index into the pixels of a band, and where they go


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """filters (36, channels in, channels out), bias (out,), slopes (out,) of its PReLU or None."""

    filters: Tensor
    bias: Tensor
    slopes: Tensor | None


class WinogradCompact:
    """An SRVGGNetCompact with PReLU, as spandrel loads it, for single pictures on the CPU.

    Bands of a layer are computed by as many threads as torch has, each band by one: a result depends on the
    picture alone. It agrees with the module to about 5e-6.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.scale: int = model.upscale
        self.layers = _prepare(list(model.body), self.scale)
        self.threads = min(torch.get_num_threads(), MOST_THREADS)
        # The setting belongs to the process in some versions of torch, to the thread in others: make both.
        self._pool = ThreadPoolExecutor(self.threads, "winograd", torch.set_num_threads, (1,))
        self._workspace: Workspace | None = None

    def __call__(self, picture: Tensor) -> Tensor:
        """float32 (1, 3, h, w) in 0..1 -> (1, 3, s*h, s*w), not clipped; the next call overwrites it."""
        height, width = picture.shape[2:]
        if self._workspace is None or self._workspace.size != (height, width):
            self._workspace = Workspace(self.layers, self.scale, (height, width), self.threads)
        with _one_thread_an_operation():
            large = self._workspace.run(picture[0].permute(1, 2, 0), self._pool)
        return large.permute(2, 0, 1)[None]


@contextmanager
def _one_thread_an_operation() -> Iterator[None]:
    """Torch's operations run in the thread that calls them, without a team of their own."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def supported(model: torch.nn.Module) -> bool:
    """Whether `model` is a compact network of the form that WinogradCompact runs."""
    return (
        type(model).__name__ == "SRVGGNetCompact"
        and getattr(model, "act_type", "") == "prelu"
        and all(conv.bias is not None and conv.kernel_size == (3, 3) for conv in model.body[::2])
    )


def _prepare(body: Sequence[torch.nn.Module], scale: int) -> list[_Layer]:
    """Filters in Winograd's basis, with PReLU slopes brought to at most 1 and output pixels in reading order.

    max(x, slope * x) is PReLU only for slopes up to 1. A channel of a larger slope s is computed negated,
    with slope 1/s, and the next layer's weights for it are multiplied by -s: the same function.
    """
    layers = []
    incoming = torch.ones(body[0].weight.shape[1], dtype=torch.float64)
    for index in range(0, len(body), 2):
        weight, bias = body[index].weight.detach().double(), body[index].bias.detach().double()
        weight = weight * incoming[:, None, None]
        slopes = None
        if index + 1 < len(body):
            slopes = body[index + 1].weight.detach().double().expand(len(weight))
            steep = slopes > 1
            outgoing = torch.where(steep, -1.0, 1.0)
            incoming = torch.where(steep, -slopes, 1.0)
            slopes = torch.where(steep, 1 / slopes, slopes).float()
            weight, bias = weight * outgoing[:, None, None, None], bias * outgoing
        else:  # channels arrive as (colour, y, x) of the pixel shuffle; leave as (y, x, colour)
            order = torch.arange(len(weight)).view(-1, scale, scale).permute(1, 2, 0).reshape(-1)
            weight, bias = weight[order], bias[order]
        filters = torch.einsum("xb,ya,ocab->xyco", FILTER_BASIS, FILTER_BASIS, weight)
        layers.append(
            _Layer(filters=filters.flatten(0, 1).float().contiguous(), bias=bias.float(), slopes=slopes)
        )
    return layers


class Workspace:
    """Buffers and prepared operations for pictures of one size (height, width)."""

    def __init__(self, layers: list[_Layer], scale: int, size: tuple[int, int], threads: int) -> None:
        self.scale, self.size = scale, size
        self.rows, self.columns = -(-size[0] // 4), -(-size[1] // 4)  # in blocks
        hidden, last = layers[0].filters.shape[2], layers[-1].filters.shape[2]
        self.padded = torch.zeros(4 * self.rows + 4, 4 * self.columns + 4, 3)
        self.image = self._planes(3)
        even = self._planes(hidden)
        # A band also reads the first two rows of the blocks below, which another band writes: doubled.
        odd = [torch.zeros_like(even[0]), torch.zeros_like(even[1]), even[2], even[3]]
        self.output = torch.empty(self.rows, 4, scale, self.columns, 4, 3 * scale)
        step = min(self.rows, max(1, BAND_BLOCKS // self.columns))
        spans = [slice(start, min(start + step, self.rows)) for start in range(0, self.rows, step)]
        shares = [spans[thread::threads] for thread in range(threads)]
        scratches = [_Scratch(step * (self.columns + 1) * max(hidden, last)) for _ in shares]

        def bands(source: list[Tensor], out: int, target: list[Tensor] | None) -> list[list[_Band]]:
            return [
                [_Band(scratch, source, span, out, self._stores(target, span)) for span in share]
                for scratch, share in zip(scratches, shares, strict=True)
            ]

        first, inner = bands(self.image, hidden, even), (bands(even, hidden, odd), bands(odd, hidden, even))
        final = bands((even, odd)[len(layers) % 2], last, None)
        written = ((even, odd)[index % 2] for index in range(len(layers)))
        between = (inner[index % 2] for index in range(len(layers) - 2))
        self.steps = list(zip(layers, [first, *between, final], map(self._outside, written), strict=True))

    def _planes(self, channels: int) -> list[Tensor]:
        return [torch.zeros(self.rows + 1, 4, self.columns + 1, channels) for _ in range(4)]

    def _outside(self, planes: list[Tensor]) -> list[Tensor]:
        """What lies beyond the picture in its last blocks: to be zero for the next layer, as padding is."""
        rows = [planes[p % 4][p // 4] for p in range(self.size[0] + 1, 4 * self.rows + 1)]
        columns = range(self.size[1] + 1, 4 * self.columns + 1)
        return rows + [plane[:, p % 4, p // 4] for p in columns for plane in planes]

    def _stores(self, planes: list[Tensor] | None, span: slice) -> list[_Store]:
        """Where the pixels (4 down, 4 across, n, columns, channels) of a band go: to planes or the output."""
        if planes is None:
            return [((i,), self.output[span, i].permute(3, 0, 2, 1, 4)) for i in range(4)]
        stores: list[_Store] = []
        below = slice(span.start + 1, span.stop + 1)
        for i in range(4):  # pixel (i, j) of a block is padded pixel (i + 1, j + 1)
            plane = planes[i + 1][span] if i < 3 else planes[0][below]
            stores.append(((i, slice(3)), plane[:, 1:, :-1].transpose(0, 1)))
            stores.append(((i, 3), plane[:, 0, 1:]))
        return stores

    @torch.inference_mode()
    def run(self, picture: Tensor, pool: ThreadPoolExecutor) -> Tensor:
        """float32 (h, w, 3) -> float32 (s*h, s*w, 3), a view that the next call overwrites."""
        height, width = self.size
        self.padded[1 : height + 1, 1 : width + 1] = picture
        blocks = self.padded.view(self.rows + 1, 4, self.columns + 1, 4, 3)
        for row, plane in enumerate(self.image):
            plane.copy_(blocks[:, row].transpose(1, 2))
        for layer, shares, outside in self.steps:
            for _ in pool.map(partial(_run_bands, layer), shares):
                pass  # and raise what a thread raised
            for view in outside:
                view.zero_()
        large = self.output.view(4 * self.rows, self.scale, 4 * self.columns, 3 * self.scale)
        large = large[:height, :, :width]
        large.add_(picture.repeat(1, 1, self.scale)[:, None])  # the network learns what nearest lacks
        whole = self.output.view(4 * self.rows * self.scale, 4 * self.columns * self.scale, 3)
        return whole[: height * self.scale, : width * self.scale]


def _run_bands(layer: _Layer, bands: list[_Band]) -> None:
    with torch.inference_mode():  # a setting of each thread
        for band in bands:
            band.run(layer)


class _Scratch:
    """A thread's memory for the values of one band: little and reused, so that it stays in the cache."""

    def __init__(self, unit: int) -> None:
        self.here, self.there = torch.empty(36 * unit), torch.empty(36 * unit)
        self.spare = torch.empty(12 * unit)


def _view(memory: Tensor, *shape: int) -> Tensor:
    return memory[: prod(shape)].view(shape)


class _Band:
    """One convolution of the rows of blocks `span`, its views and additions prepared once.

    `source` are planes of c channels, `out` the channels made. Axes of the values: point or pixel across,
    point or pixel down, row of blocks, column of blocks, channel; of the final pixels: down, across, ...
    """

    def __init__(
        self, scratch: _Scratch, source: list[Tensor], span: slice, out: int, stores: list[_Store]
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
            *_spread(rows, lines, _view(spare, 2, count, 4, columns + 1, channels)),
            *_spread(shifted, values, _view(spare, 2, 6, count, columns, channels)),
        ]
        self.after = [
            *_gather(products, half, _view(spare, 2, 6, count, columns, out)),
            *_gather(half.unbind(1), self.pixels, _view(spare, 2, 4, count, columns, out)),
        ]
        self.values, self.products = values.view(36, -1, channels), products.view(36, -1, out)
        self.ones = products[1, 1]  # added at the points (1, 1), a value reaches all 16 pixels
        self.stores = [
            (self.pixels[at].view(target.shape), self.scaled[at].view(target.shape), target)
            for at, target in stores
        ]

    def run(self, layer: _Layer) -> None:
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


def _spread(d: Sequence[Tensor], out: Sequence[Tensor], spare: Sequence[Tensor]) -> list[Op]:
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


def _gather(m: Sequence[Tensor], out: Sequence[Tensor], spare: Sequence[Tensor]) -> list[Op]:
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
