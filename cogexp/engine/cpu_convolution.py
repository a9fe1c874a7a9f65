"""Convolutions on a CPU, with torch's own bits and less work.

torch has two algorithms there and picks one by the size of the input. oneDNN's is fast. The other ("slow3d")
writes out, for every pixel, all that the kernel sees of it: 27 times the input, in main memory, and then
multiplies once. Cut into pieces that stay in the cache, the same products are added in the same order, in a
third of the time. And frames that share a 2-D convolution take it one by one, each in the cache from its
enlargement to its place in the clip. Whatever is done here in another way is first tried at the very size,
once a process: where the bits differ, torch does it.
Shapes: frames (b, c, t, h, w), weights (out, c, kt, kh, kw) unless told otherwise.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cogexp.engine.threads import same_sums

PIECE = 1 << 20  # values written out at a time: 4 MiB, about a core's share of the caches


def convolve(layer: Any, frames: Tensor) -> Tensor:
    """`layer(frames)`; on a CPU in the fastest way with equal bits."""
    if pointwise(layer):
        with same_sums():
            made: Tensor = layer(frames)
        return made
    if _may_be_cut(layer, frames) and _same_in_pieces(
        frames.shape, layer.weight.shape, layer.padding, torch.get_num_threads()
    ):
        made = _in_pieces(frames, layer.weight, layer.bias, layer.padding)
    else:
        made = layer(frames)
    return made


def enlarged(layer: Any, box: list[Tensor]) -> Tensor:
    """A 2-D convolution of frames twice as tall and wide (nearest): (b, t, c, h, w) -> (b, out, t, 2h, 2w).

    Popped out of the box, the frames can be freed as soon as they are enlarged.
    """
    frames = box.pop()
    batch, times = frames.shape[:2]
    if not _one_by_one(layer, frames):
        frames = F.interpolate(frames.flatten(0, 1), scale_factor=2.0)
        frames = layer(frames)
        return frames.unflatten(0, (batch, times)).permute(0, 2, 1, 3, 4).contiguous()
    made = frames.new_empty(batch, layer.out_channels, times, *(2 * side for side in frames.shape[3:]))
    for of in range(batch):
        for at in range(times):
            made[of, :, at] = layer(F.interpolate(frames[of, at : at + 1], scale_factor=2.0))[0]
    return made


def _one_by_one(layer: nn.Conv2d, frames: Tensor) -> bool:
    """Whether frames (b, t, c, h, w), enlarged, have the same bits alone; a GPU wants all of them."""
    same_size = layer.kernel_size == (3, 3) and layer.padding == (1, 1)
    if not (same_size and frames.shape[:2].numel() > 1 and _ordinary(layer, frames)):
        return False
    size = torch.Size((frames.shape[2], *(2 * side for side in frames.shape[3:])))
    return _same_alone(size, layer.out_channels, torch.get_num_threads())


@functools.lru_cache(maxsize=256)
def _same_alone(frame: torch.Size, out: int, threads: int) -> bool:
    """Has a frame of this size (c, h, w) the same bits alone as beside another one?"""
    draw = torch.Generator().manual_seed(0)
    shapes = ((2, *frame), (out, frame[0], 3, 3), (out,))
    pair, weights, bias = (torch.randn(shape, generator=draw) for shape in shapes)
    alone = [F.conv2d(one, weights, bias, padding=1) for one in pair.split(1)]
    return torch.equal(F.conv2d(pair, weights, bias, padding=1), torch.cat(alone))


def pointwise(layer: nn.Conv3d) -> bool:
    """Whether a convolution mixes channels only: the one kind whose sums depend on the number of threads."""
    return all(side == 1 for side in layer.kernel_size)


def hooked(layer: nn.Module) -> bool:
    """Whether only the layer's own forward has its weights, as with storage in 8 bits or with offload."""
    return "forward" in vars(layer)


def _may_be_cut(layer: nn.Conv3d, frames: Tensor) -> bool:
    return frames.shape[0] == 1 and _ordinary(layer, frames) and _is_slow(layer, frames)


def _ordinary(layer: nn.Conv2d | nn.Conv3d, frames: Tensor) -> bool:
    """A convolution that can be done in parts: of 32 bits, on a CPU, its weights there, no special kind."""
    steps = all(side == 1 for side in (*layer.stride, *layer.dilation))
    zeros = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    fits = frames.device.type == "cpu" and frames.dtype == torch.float32
    free = not hooked(layer) and layer.bias is not None
    return steps and layer.groups == 1 and zeros and fits and free


def _is_slow(layer: nn.Conv3d, frames: Tensor) -> bool:
    """Whether torch would take the slow algorithm; False where this torch does not tell."""
    select = getattr(torch._C, "_select_conv_backend", None)
    if select is None:
        return False
    ones, none = [1, 1, 1], [0, 0, 0]
    chosen = select(frames, layer.weight, layer.bias, ones, list(layer.padding), ones, False, none, 1)
    return getattr(chosen, "name", "") == "Slow3d"


@functools.lru_cache(maxsize=256)
def _same_in_pieces(shape: torch.Size, weight: torch.Size, padding: tuple[int, ...], threads: int) -> bool:
    """Do the pieces give the bits of the whole at this size? How a sum is ordered depends on it."""
    draw = torch.Generator().manual_seed(0)
    frames, weights, bias = (torch.randn(size, generator=draw) for size in (shape, weight, weight[:1]))
    whole = F.conv3d(frames, weights, bias, padding=padding)
    return torch.equal(whole, _in_pieces(frames, weights, bias, padding))


def _in_pieces(frames: Tensor, weight: Tensor, bias: Tensor, padding: tuple[int, ...]) -> Tensor:
    """Some rows of one frame at a time: what the kernel sees of each pixel, written out, and multiplied."""
    around = [side for pad in reversed(padding) for side in (pad, pad)]
    padded = F.pad(frames, around)[0]
    sizes = [have - kernel + 1 for have, kernel in zip(padded.shape[1:], weight.shape[2:], strict=True)]
    channel, *steps = padded.stride()
    seen = padded.as_strided((*weight.shape[1:], *sizes), (channel, *steps, *steps))
    matrix = weight.flatten(1)
    made = frames.new_empty(weight.shape[0], *sizes)
    times, height, width = sizes
    rows = min(max(PIECE // (matrix.shape[1] * width), 1), height)
    for at in range(times):
        for top in range(0, height, rows):
            columns = seen[:, :, :, :, at, top : top + rows].reshape(matrix.shape[1], -1)
            piece = torch.addmm(bias[:, None].expand(-1, columns.shape[1]), matrix, columns)
            made[:, at, top : top + rows] = piece.unflatten(1, (-1, width))
    return made[None]
