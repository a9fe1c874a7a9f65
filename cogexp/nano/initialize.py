"""First weights: what training starts from, and what an untrained embedded model shows.

`INITIALIZERS` are run by `arch.build` under its seeded generator, right after the constructors.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

# Gain of the decoder's last convolution: puts the random picture's standard deviation near 0.4 of 2.0.
_SHOW_GAIN = 0.45
_FIRST_LOG_VARIANCE = -4.0


def init_text_encoder(module: nn.Module) -> None:
    """T5's own initialization is kept."""


def init_transformer(module: nn.Module) -> None:
    """A quiet output head: an untrained denoiser that shouts would push the latents out of range."""
    module.proj_out.weight.data.mul_(0.3)
    module.proj_out.bias.data.zero_()


def init_transformer_for_training(module: nn.Module) -> None:
    """Every block begins as the identity and the output as zero (adaLN-zero, Peebles & Xie 2023).

    Half-open gates and a quieter input learn the text sooner at pure noise (.183 against .277 after 50 steps)
    but passing the latent through at little noise much later; over all times nothing is gained.
    """
    for name, layer in module.named_modules():
        gate = name.endswith(("norm1.linear", "norm2.linear", "norm_out.linear"))
        if isinstance(layer, nn.Linear) and (gate or name == "proj_out"):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)


def init_vae_for_training(module: nn.Module) -> None:
    """Kaiming-normal for linear units, zero biases; residual branches and conditioning begin as identity.

    PyTorch's default init stalls this VAE near 17 dB. The latents begin with little noise (a log variance
    of -4): a decoder that must first see through noise of the latents' own size learns late.
    """
    for name, layer in module.named_modules():
        if not isinstance(layer, (nn.Conv2d, nn.Conv3d)):
            continue
        nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
        nn.init.zeros_(layer.bias)
        if ".conv2." in name:
            nn.init.zeros_(layer.weight)
        if ".conv_y." in name:
            nn.init.ones_(layer.bias)
    head = module.encoder.conv_out.conv
    half = head.out_channels // 2
    head.weight.data[half:] = 0.0
    head.bias.data[half:] = _FIRST_LOG_VARIANCE


def init_vae(module: nn.Module) -> None:
    """Random weights that decode to drifting soft-edged colours: every decoder kernel also blurs."""
    init_vae_for_training(module)
    for name, layer in module.decoder.named_modules():
        if not isinstance(layer, (nn.Conv2d, nn.Conv3d)):
            continue
        if ".conv_y." in name or ".conv_b." in name:
            nn.init.zeros_(layer.weight)
        elif layer.kernel_size[-1] == 3:
            _make_blur(layer)
    head = module.decoder.conv_out.conv
    head.weight.data.mul_(_SHOW_GAIN)


def _make_blur(layer: nn.Conv2d | nn.Conv3d) -> None:
    """Keep random mixing of channels, but give every pair one binomial kernel in space (mean in time)."""
    binomial = torch.tensor([1.0, 2.0, 1.0])
    kernel = torch.outer(binomial, binomial)
    if isinstance(layer, nn.Conv3d):
        kernel = kernel.expand(layer.kernel_size[0], 3, 3)
    mix = torch.randn(layer.out_channels, layer.in_channels) / layer.in_channels**0.5
    # 1.6: a blur takes energy out of a noisy picture; this gives most of it back.
    weight = mix[(...,) + (None,) * kernel.dim()] * (kernel / kernel.sum() * 1.6)
    layer.weight.data.copy_(weight)


INITIALIZERS: dict[str, Callable[[nn.Module], None]] = {
    "text_encoder": init_text_encoder,
    "transformer": init_transformer,
    "vae": init_vae,
}
