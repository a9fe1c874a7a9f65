"""Layerwise casting: weights kept in 8-bit floating point, widened layer by layer when they are used.

The formats differ by part: the transformer and the VAE have diffusers' own method; of the text encoder only
the linear layers are cast, because transformers reads the dtype of the others to decide how to compute.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from cogexp.engine.probe import hooked, took_hold

STORAGE = torch.float8_e4m3fn
WORDS = {"transformer": "transformer", "text_encoder": "text encoder", "vae": "VAE"}


def cast(name: str, module: Any, flag: str) -> str:
    """Store the weights of the part `name` in fp8; return what was done, in words."""
    dtype = module.dtype
    if name == "text_encoder":
        from diffusers.hooks import apply_layerwise_casting

        hide_output_layers(module)
        norms = tuple({type(part) for part in module.modules() if "Norm" in type(part).__name__})
        apply_layerwise_casting(
            module,
            storage_dtype=STORAGE,
            compute_dtype=dtype,
            skip_modules_pattern=(),
            skip_modules_classes=(nn.Embedding, *norms),
        )
    else:
        module.enable_layerwise_casting(storage_dtype=STORAGE, compute_dtype=dtype)
    stored = sum(p.numel() for p in module.parameters() if p.dtype == STORAGE)
    took_hold(flag, stored > 0 and hooked(module, "layerwise_casting") > 0)
    share = stored / sum(p.numel() for p in module.parameters())
    return f"fp8 storage of {share:.0%} of the {WORDS[name]}'s weights"


class OutputLayer(nn.Module):
    """A linear layer that does not show its weight.

    T5 casts what enters its output layer to the dtype of that layer's weight: of a weight that is stored in 8
    bits it would make 8-bit activations.
    """

    weight = None

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.dtype = layer.weight.dtype

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(b, l, d_ff) -> (b, l, d), in the layer's own dtype (float32 in a float16 checkpoint)."""
        return self.layer(hidden_states.to(self.dtype))


def hide_output_layers(text_encoder: nn.Module) -> None:
    """Put every feed-forward's output layer of a T5 encoder into an `OutputLayer`."""
    for part in list(text_encoder.modules()):
        if hasattr(part, "wi_0") and isinstance(part.wo, nn.Linear):
            part.wo = OutputLayer(part.wo)
