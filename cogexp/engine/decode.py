"""Latents -> frames as a stream, bit-equal to `AutoencoderKLCogVideoX.decode`, tiled or not.

diffusers decodes two latent frames at a time but concatenates the whole clip on the device before anyone
sees a frame. Here, untiled, each group of frames leaves as soon as it is decoded; tiled, the decoded tiles
wait in main memory. The causal convolutions' caches are handed on as there, so the numbers are the same.
Shapes: z (1, c, t, h, w) latents; frames (n, h*8, w*8, 3) uint8.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from diffusers import AutoencoderKLCogVideoX
from torch import Tensor


class InvalidFrames(RuntimeError):
    """The decoder's output cannot be a video: NaN, or nothing but black."""


def decode_stream(vae: AutoencoderKLCogVideoX, latents: Tensor) -> Iterator[np.ndarray]:
    """Decode latents (1, t, c, h, w), as the pipeline leaves them, into chunks of uint8 frames (n, H, W, 3).

    Raises:
        InvalidFrames: the decoder gave NaN or infinities.
    """
    z = 1 / vae.config.scaling_factor * latents.permute(0, 2, 1, 3, 4).to(vae.dtype)
    groups = _tiled(vae, z) if uses_tiles(vae, *z.shape[-2:]) else _untiled(vae, z)
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


def uses_tiles(vae: AutoencoderKLCogVideoX, height: int, width: int) -> bool:
    """True when latents of this size are decoded in tiles."""
    return vae.use_tiling and (width > vae.tile_latent_min_width or height > vae.tile_latent_min_height)


def tile_starts(vae: AutoencoderKLCogVideoX, height: int, width: int) -> tuple[range, range]:
    """First rows and first columns of the tiles, in latents."""
    tops = range(0, height, int(vae.tile_latent_min_height * (1 - vae.tile_overlap_factor_height)))
    lefts = range(0, width, int(vae.tile_latent_min_width * (1 - vae.tile_overlap_factor_width)))
    return tops, lefts


@torch.no_grad()
def _decode_group(vae: AutoencoderKLCogVideoX, z: Tensor, cache: object) -> tuple[Tensor, object]:
    if vae.post_quant_conv is not None:
        z = vae.post_quant_conv(z)
    frames, cache = vae.decoder(z, conv_cache=cache)
    return frames, cache


def _untiled(vae: AutoencoderKLCogVideoX, z: Tensor) -> Iterator[Tensor]:
    cache: object = None
    for group in frame_groups(z.shape[2], vae.num_latent_frames_batch_size):
        frames, cache = _decode_group(vae, z[:, :, group], cache)
        yield frames


def _tiled(vae: AutoencoderKLCogVideoX, z: Tensor) -> Iterator[Tensor]:
    """Each tile through all of time first: the caches of one tile at a time are on the device, not of all.

    Decoded tiles wait in main memory (the clip in pixels, and the overlaps) until their group is joined.
    """
    height, width = z.shape[-2:]
    tile_h, tile_w = vae.tile_latent_min_height, vae.tile_latent_min_width
    tops, lefts = tile_starts(vae, height, width)
    groups = frame_groups(z.shape[2], vae.num_latent_frames_batch_size)
    waiting: dict[tuple[int, int], list[Tensor]] = {}
    for top in tops:
        for left in lefts:
            cache: object = None
            waiting[top, left] = []
            for group in groups:
                tile = z[:, :, group, top : top + tile_h, left : left + tile_w]
                frames, cache = _decode_group(vae, tile, cache)
                waiting[top, left].append(frames.cpu())
    for index in range(len(groups)):
        yield _blend(vae, [[waiting[top, left][index].to(z.device) for left in lefts] for top in tops])


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
