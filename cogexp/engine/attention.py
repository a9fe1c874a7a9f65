"""Which kernel computes attention: a processor of our own, because CogVideoX's asks torch and nobody else.

diffusers' `set_attention_backend` changes nothing on CogVideoX (0.42.1): its processor calls torch's SDPA
itself. Shapes: hidden states (b, video tokens, d), text (b, text tokens, d); heads of 64.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention_dispatch import attention_backend, dispatch_attention_fn
from diffusers.models.embeddings import apply_rotary_emb
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from cogexp.engine.probe import Operations, OptimizationError, took_hold
from cogexp.system.faults import one_line

# torch's own kernels: with one of them allowed, torch refuses to run another.
TORCH = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}
# Packages, by the name under which diffusers dispatches to them.
PACKAGES = {"flash-attn": "flash", "sage": "sage"}
# What torch calls its kernels, the first that matches.
KERNELS = {
    "_scaled_dot_product_flash_attention": "flash",
    "_scaled_dot_product_efficient_attention": "efficient",
    "_scaled_dot_product_cudnn_attention": "cudnn",
    "_softmax": "math",
    "_safe_softmax": "math",
}


class Processor:
    """Attention over text and video tokens together, as CogVideoX does it, by the kernel asked for."""

    def __init__(self, kernel: str) -> None:
        self.kernel = kernel

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The attended video and text tokens, shapes as given."""
        if attention_mask is not None:
            raise ValueError("CogVideoX attends without a mask, got one")
        text = encoder_hidden_states.shape[1]
        together = torch.cat([encoder_hidden_states, hidden_states], dim=1)
        if attn.fused_projections:
            projected = attn.to_qkv(together).chunk(3, dim=-1)
        else:
            projected = (attn.to_q(together), attn.to_k(together), attn.to_v(together))
        query, key, value = (part.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for part in projected)
        if attn.norm_q is not None:
            query, key = attn.norm_q(query), attn.norm_k(key)
        if image_rotary_emb is not None:
            for part in (query, key):
                part[:, :, text:] = apply_rotary_emb(part[:, :, text:], image_rotary_emb)
        out = attend(query, key, value, self.kernel).transpose(1, 2).flatten(2)
        out = attn.to_out[1](attn.to_out[0](out))
        return out[:, text:], out[:, :text]


def attend(query: Tensor, key: Tensor, value: Tensor, kernel: str) -> Tensor:
    """softmax(q k^T / sqrt(64)) v on (b, heads, tokens, 64), by `kernel`."""
    if kernel in PACKAGES:
        swapped = (part.transpose(1, 2) for part in (query, key, value))
        return dispatch_attention_fn(*swapped, backend=PACKAGES[kernel]).transpose(1, 2)
    with sdpa_kernel(TORCH[kernel]) if kernel in TORCH else nullcontext():
        return F.scaled_dot_product_attention(query, key, value)


def use(transformer: Any, kernel: str, device: str) -> str:
    """Install `kernel` in every attention layer, and say which one ran on a probe of the same kind.

    Raises:
        OptimizationError: the kernel cannot run on this device in this dtype.
    """
    ran = kernel_that_runs(kernel, device, transformer.dtype)
    layers = [block.attn1 for block in transformer.transformer_blocks]
    for layer in layers:
        layer.set_processor(Processor(kernel))
    took_hold("attention", all(isinstance(layer.processor, Processor) for layer in layers))
    return f"{kernel}: {ran} in {len(layers)} layers"


@torch.no_grad()
def kernel_that_runs(kernel: str, device: str, dtype: torch.dtype) -> str:
    """The kernel that answers to `kernel` for heads of 64 on this device: a small attention, watched.

    Raises:
        OptimizationError: none does, or another one.
    """
    probe = torch.ones(1, 2, 128, 64, device=device, dtype=dtype)
    try:
        # diffusers looks whether a package is there only where its backend is switched on.
        with attention_backend(PACKAGES.get(kernel, "native")), Operations() as seen:
            attend(probe, probe, probe, kernel)
    except (RuntimeError, ValueError, ImportError) as error:
        why = one_line(error, 160)
        raise OptimizationError(
            f"optimization.attention={kernel} cannot run on {device} in {dtype}: {why}; use sdpa"
        ) from error
    if kernel in PACKAGES:
        return f"the {kernel} package's kernel"
    ran = kernel_in(seen.counts)
    took_hold(f"attention={kernel}", kernel == "sdpa" or ran == kernel)
    return f"torch's {ran} kernel"


def kernel_in(counts: dict[str, int]) -> str | None:
    """Which of torch's attention kernels is among these operations."""
    plain = [name.removeprefix("aten::") for name in counts]
    return next((said for op, said in KERNELS.items() if any(name.startswith(op) for name in plain)), None)
