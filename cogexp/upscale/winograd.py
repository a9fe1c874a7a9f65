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

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from cogexp.upscale.winograd_band import Band, Layer, Scratch, Store

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


class WinogradCompact:
    """An SRVGGNetCompact with PReLU, as spandrel loads it, for single pictures on the CPU.

    Bands of a layer are computed by as many threads as torch has, each band by one: a result depends on the
    picture alone. It agrees with the module to about 5e-6. Not to be called from two threads at once.
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


def _prepare(body: Sequence[torch.nn.Module], scale: int) -> list[Layer]:
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
            Layer(filters=filters.flatten(0, 1).float().contiguous(), bias=bias.float(), slopes=slopes)
        )
    return layers


class Workspace:
    """Buffers and prepared operations for pictures of one size (height, width)."""

    def __init__(self, layers: list[Layer], scale: int, size: tuple[int, int], threads: int) -> None:
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
        scratches = [Scratch(step * (self.columns + 1) * max(hidden, last)) for _ in shares]

        def bands(source: list[Tensor], out: int, target: list[Tensor] | None) -> list[list[Band]]:
            return [
                [Band(scratch, source, span, out, self._stores(target, span)) for span in share]
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

    def _stores(self, planes: list[Tensor] | None, span: slice) -> list[Store]:
        """Where the pixels (4 down, 4 across, n, columns, channels) of a band go: to planes or the output."""
        if planes is None:
            return [((i,), self.output[span, i].permute(3, 0, 2, 1, 4)) for i in range(4)]
        stores: list[Store] = []
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


def _run_bands(layer: Layer, bands: list[Band]) -> None:
    with torch.inference_mode():  # a setting of each thread
        for band in bands:
            band.run(layer)
