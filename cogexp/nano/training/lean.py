"""The VAE's arithmetic with less work and the same result (to rounding), for training.

1. The spatial norm upsamples the latent and then applies two 1x1 convolutions; nearest upsampling and a 1x1
   convolution commute, so the convolutions run at latent size, and the repeated rows are broadcast, not made.
2. A single frame is padded in time with itself, so its 3-D convolution is a 2-D one with the kernel summed
   over time.
3. Under autocast the group norms keep bfloat16.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


def lean(vae: Any) -> Any:
    """Replace the forward of the VAE's spatial norms and causal convolutions; returns the same VAE."""
    from diffusers.models.autoencoders.autoencoder_kl_cogvideox import (
        CogVideoXCausalConv3d,
        CogVideoXSpatialNorm3D,
    )

    for module in vae.modules():
        if isinstance(module, CogVideoXSpatialNorm3D):
            module.forward = MethodType(_spatial_norm, module)
        elif isinstance(module, nn.GroupNorm):
            module.forward = MethodType(_group_norm, module)
        elif isinstance(module, CogVideoXCausalConv3d) and module.pad_mode == "first":
            module.forward = MethodType(_causal_conv, module)
    return vae


def _row_of(frames: int, kept: int) -> torch.Tensor:
    """Which of the `kept` latent frames each frame takes: the first on its own when their number is odd."""
    if frames > 1 and frames % 2 == 1:
        rest = torch.arange(frames - 1) * (kept - 1) // (frames - 1) + 1
        return torch.cat([torch.zeros(1, dtype=torch.long), rest])
    return torch.arange(frames) * kept // frames


def _widened(latent: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """(b, c, t', h', w') -> (b, c, t, h', 1, w): nearest in time and along rows, for broadcasting."""
    frames, kept = like.shape[2], latent.shape[2]
    if frames != kept:
        latent = latent.index_select(2, _row_of(frames, kept).to(latent.device))
    return latent.repeat_interleave(like.shape[-1] // latent.shape[-1], -1)[..., None, :]


def _group_norm(self: Any, x: torch.Tensor) -> torch.Tensor:
    """In the dtype of its input: sums are float32 inside the kernel anyway, and autocast would make float32
    of the result, which doubles what a GPU reads and writes for the rest of the block."""
    with torch.autocast(x.device.type, enabled=False):
        return F.group_norm(x, self.num_groups, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


def _spatial_norm(
    self: Any, f: torch.Tensor, zq: torch.Tensor, conv_cache: dict[str, Any] | None = None
) -> tuple[torch.Tensor, dict[str, Any]]:
    """norm(f) * conv_y(zq) + conv_b(zq): f (b, c, t, h, w), zq (b, 16, t', h', w'), h a multiple of h'."""
    scale, shift = _widened(self.conv_y.conv(zq), f), _widened(self.conv_b.conv(zq), f)
    rows = self.norm_layer(f).unflatten(3, (zq.shape[3], -1))
    return torch.addcmul(shift, rows, scale).view(f.shape), {}


def _causal_conv(
    self: Any, inputs: torch.Tensor, conv_cache: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(b, c, t, h, w) -> the same size; the cache is the last two frames, the padding's among them."""
    if self.time_kernel_size == 1:
        return self.conv(inputs), None
    if inputs.shape[2] == 1 and conv_cache is None and self.time_kernel_size == 3:
        weight = self.conv.weight.sum(2)
        output = F.conv2d(inputs[:, :, 0], weight, self.conv.bias, padding=(self.height_pad, self.width_pad))
        return output[:, :, None], inputs.expand(-1, -1, 2, -1, -1)
    padded = self.fake_context_parallel_forward(inputs, conv_cache)
    return self.conv(padded), padded[:, :, -self.time_kernel_size + 1 :]
