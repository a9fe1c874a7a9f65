"""Latents -> frames as a stream, bit-equal to `AutoencoderKLCogVideoX.decode`, tiled or not.

diffusers decodes two latent frames at a time but concatenates the whole clip on the device before anyone
sees a frame. Here, untiled, each group of frames leaves as soon as it is decoded; tiled, the decoded tiles
wait in main memory. The causal convolutions' caches are handed on as there, so the numbers are the same,
with diffusers' own decoder and with the lean one. Tiles of one size (`vae_tiling=edge`) are our own.
Shapes: z (1, c, t, h, w) latents; frames (n, h*8, w*8, 3) uint8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from diffusers import AutoencoderKLCogVideoX
from torch import Tensor

from cogexp import tiles
from cogexp.allocator import freed_pages_stay
from cogexp.engine.lean_vae import LeanDecoder, usable
from cogexp.engine.threads import same_sums
from cogexp.tiles import SCALE, Layout

# Latents of the next group of one clip or tile, and whether it is the last one -> frames in -1..1.
GroupDecoder = Callable[[Tensor, bool], Tensor]


class InvalidFrames(RuntimeError):
    """The decoder's output cannot be a video: NaN, or nothing but black."""


def decode_stream(
    vae: AutoencoderKLCogVideoX, latents: Tensor, *, tiling: bool | str | None = None, lean: bool = False
) -> Iterator[np.ndarray]:
    """Decode latents (1, t, c, h, w), as the pipeline leaves them, into chunks of uint8 frames (n, H, W, 3).

    `tiling`: False, True (diffusers' tiles, of the size set in the VAE) or "edge"; None: what the VAE says.
    `lean`: with the lean decoder where it knows this VAE.

    Raises:
        InvalidFrames: the decoder gave NaN or infinities.
    """
    z = 1 / vae.config.scaling_factor * latents.permute(0, 2, 1, 3, 4).to(vae.dtype)
    height, width = (SCALE * side for side in z.shape[-2:])
    kind = vae.use_tiling if tiling is None else tiling
    laid = tiles.layout(kind, height, width, grid_of(vae))
    lean = lean and usable(vae)
    if not laid.tiled:
        groups = _in_groups(vae, z, lean)
    else:
        groups = (_edge if kind == "edge" else _tiled)(vae, z, laid, lean)
    made = 0
    for chunk in groups:
        if not torch.isfinite(chunk).all():
            raise InvalidFrames(
                f"the VAE gave NaN or infinite pixels in frames {made}..{made + chunk.shape[2] - 1}; "
                "16-bit overflow is the usual cause: try model.dtype=bfloat16 or float32"
            )
        made += chunk.shape[2]
        yield to_uint8(chunk)


def to_uint8(frames: Tensor) -> np.ndarray:
    """(1, 3, n, h, w) in -1..1 -> (n, h, w, 3) uint8, as diffusers' VideoProcessor makes PIL images."""
    unit = (frames[0] * 0.5 + 0.5).clamp(0, 1)
    pixels = (unit.float() * 255).round().to(torch.uint8)
    return pixels.permute(1, 2, 3, 0).contiguous().cpu().numpy()


def frame_groups(frames: int, batch: int) -> list[slice]:
    """Latent frames decoded together: `batch` at a time, the remainder joins the first group."""
    remainder = frames % batch
    groups = max(frames // batch, 1)
    return [slice(batch * i + (remainder if i else 0), batch * (i + 1) + remainder) for i in range(groups)]


def grid_of(vae: AutoencoderKLCogVideoX) -> tiles.Grid:
    """The tiles that this VAE is set to."""
    return tiles.Grid(
        tile=(vae.tile_sample_min_height, vae.tile_sample_min_width),
        overlap=(vae.tile_overlap_factor_height, vae.tile_overlap_factor_width),
    )


def group_decoder(vae: AutoencoderKLCogVideoX, lean: bool) -> GroupDecoder:
    """A decoder for the groups of one clip or tile, in order; it keeps the caches between them."""
    if lean:
        decoder = LeanDecoder(vae)

        def decode_lean(z: Tensor, last: bool) -> Tensor:
            with freed_pages_stay(z.device.type == "cpu"):
                return decoder(z, last=last)

        return decode_lean
    cache: object = None

    def decode_stock(z: Tensor, last: bool) -> Tensor:
        nonlocal cache
        with same_sums():
            frames, cache = _stock(vae, z, cache)
        return frames

    return decode_stock


@torch.no_grad()
def _stock(vae: AutoencoderKLCogVideoX, z: Tensor, cache: object) -> tuple[Tensor, object]:
    if vae.post_quant_conv is not None:
        z = vae.post_quant_conv(z)
    frames, cache = vae.decoder(z, conv_cache=cache)
    return frames, cache


def _in_groups(vae: AutoencoderKLCogVideoX, z: Tensor, lean: bool) -> Iterator[Tensor]:
    """One clip or tile (1, c, t, h, w), group by group."""
    decode = group_decoder(vae, lean)
    groups = frame_groups(z.shape[2], vae.num_latent_frames_batch_size)
    for group in groups:
        yield decode(z[:, :, group], group is groups[-1])


def _tiled(vae: AutoencoderKLCogVideoX, z: Tensor, laid: Layout, lean: bool) -> Iterator[Tensor]:
    """Each tile through all of time first: the caches of one tile at a time are on the device, not of all.

    Decoded tiles wait in main memory (the clip in pixels, and the overlaps) until their group is joined.
    """
    waiting = [
        [[frames.cpu() for frames in _in_groups(vae, _cut(z, row, column), lean)] for column in laid.columns]
        for row in laid.rows
    ]
    for index in range(len(waiting[0][0])):
        yield _blend(vae, [[tile[index].to(z.device) for tile in row] for row in waiting])


def _edge(vae: AutoencoderKLCogVideoX, z: Tensor, laid: Layout, lean: bool) -> Iterator[Tensor]:
    """Tiles of one size, each added with its weights to a clip in main memory, in float32."""
    groups = frame_groups(z.shape[2], vae.num_latent_frames_batch_size)
    height, width = (SCALE * side for side in z.shape[-2:])
    clips: list[Tensor] = []
    for row, down in zip(laid.rows, tiles.weights(laid.rows), strict=True):
        for column, across in zip(laid.columns, tiles.weights(laid.columns), strict=True):
            share = torch.tensor(down, device="cpu")[:, None] * torch.tensor(across, device="cpu")
            for index, frames in enumerate(_in_groups(vae, _cut(z, row, column), lean)):
                if len(clips) < len(groups):
                    clips.append(torch.zeros(*frames.shape[:3], height, width, device="cpu"))
                place = clips[index][..., row.start : row.end, column.start : column.end]
                place += frames.float().cpu() * share
    yield from clips


def _cut(z: Tensor, row: tiles.Tile, column: tiles.Tile) -> Tensor:
    return z[..., row.start // SCALE : row.end // SCALE, column.start // SCALE : column.end // SCALE]


def _blend(vae: AutoencoderKLCogVideoX, rows: list[list[Tensor]]) -> Tensor:
    """Join tiles as `AutoencoderKLCogVideoX.tiled_decode` does, in its order (blending works in place)."""
    extent_h = int(vae.tile_sample_min_height * vae.tile_overlap_factor_height)
    extent_w = int(vae.tile_sample_min_width * vae.tile_overlap_factor_width)
    keep_h, keep_w = vae.tile_sample_min_height - extent_h, vae.tile_sample_min_width - extent_w
    joined = []
    for i, row in enumerate(rows):
        kept = []
        for j, frames in enumerate(row):
            if i > 0:
                frames = vae.blend_v(rows[i - 1][j], frames, extent_h)
            if j > 0:
                frames = vae.blend_h(row[j - 1], frames, extent_w)
            kept.append(frames[:, :, :, :keep_h, :keep_w])
        joined.append(torch.cat(kept, dim=4))
    return torch.cat(joined, dim=3)
