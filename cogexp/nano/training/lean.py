"""The VAE's arithmetic with less work and the same result (to rounding), for training.

1. The spatial norm upsamples the latent and then applies two 1x1 convolutions; nearest upsampling and a 1x1
   convolution commute, so the convolutions run at latent size.
2. A single frame is padded in time with itself, so its 3-D convolution is a 2-D one with the kernel summed
   over time.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F


def lean(vae: Any) -> Any:
    """Replace the forward of the VAE's spatial norms and causal convolutions; returns the same VAE."""
    from diffusers.models.autoencoders.autoencoder_kl_cogvideox import (
        CogVideoXCausalConv3d,
        CogVideoXSpatialNorm3D,
    )

    for module in vae.modules():
        if isinstance(module, CogVideoXSpatialNorm3D):
            module.forward = MethodType(_spatial_norm, module)
        elif isinstance(module, CogVideoXCausalConv3d) and module.pad_mode == "first":
            module.forward = MethodType(_causal_conv, module)
    return vae


def _upsample(latent: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Nearest, the first frame on its own when the number of frames is odd, as the stock norm does."""
    size = like.shape[-3:]
    if size[0] > 1 and size[0] % 2 == 1:
        first = F.interpolate(latent[:, :, :1], size=(1, *size[1:]))
        rest = F.interpolate(latent[:, :, 1:], size=(size[0] - 1, *size[1:]))
        return torch.cat([first, rest], dim=2)
    return F.interpolate(latent, size=size)


def _spatial_norm(
    self: Any, f: torch.Tensor, zq: torch.Tensor, conv_cache: dict[str, Any] | None = None
) -> tuple[torch.Tensor, dict[str, Any]]:
    """norm(f) * conv_y(zq) + conv_b(zq): f (b, c, t, h, w), zq (b, 16, t', h', w')."""
    scale, shift = self.conv_y.conv(zq), self.conv_b.conv(zq)
    return self.norm_layer(f) * _upsample(scale, f) + _upsample(shift, f), {}


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
