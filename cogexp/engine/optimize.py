"""Optimization flags: each is applied, then probed; one that did not take hold is an error, not a silence.

`prepare` does what stays on a part for as long as it is held; `step_cache` is on only while denoising,
because its state belongs to one clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from cogexp.spec import OptimizationSpec

# Flags that are built into a held transformer: another value means another transformer.
TRANSFORMER_FLAGS = ("offload", "layerwise_cast", "compile", "fuse_qkv", "channels_last")

# How little the first block may change before the other blocks are skipped (the library's own default).
FIRST_BLOCK_THRESHOLD = 0.05


class OptimizationError(RuntimeError):
    """A flag was accepted by the library and changed nothing."""


def prepare(name: str, module: Any, flags: OptimizationSpec, device: str) -> tuple[Any, dict[str, str]]:
    """Apply the flags that concern the part `name`, place it, and return it with what is worth recording."""
    notes: dict[str, str] = {}
    if name == "transformer":
        notes |= _prepare_transformer(module, flags)
    notes |= _place(name, module, flags, device)
    return module, notes


def _prepare_transformer(module: Any, flags: OptimizationSpec) -> dict[str, str]:
    notes = {}
    if flags.fuse_qkv:
        module.fuse_qkv_projections()
        fused = sum(hasattr(m, "to_qkv") for m in module.modules())
        _took_hold("fuse_qkv", fused > 0)
        notes["optimization.fuse_qkv"] = f"{fused} attention layers fused"
    if flags.layerwise_cast == "fp8":
        module.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=module.dtype)
        cast = sum(p.numel() for p in module.parameters() if p.dtype == torch.float8_e4m3fn)
        _took_hold("layerwise_cast", cast > 0)
        share = cast / sum(p.numel() for p in module.parameters())
        notes["optimization.layerwise_cast"] = f"fp8 storage of {share:.0%} of the transformer's weights"
    if flags.channels_last:
        module.to(memory_format=torch.channels_last)
        weights = [p for p in module.parameters() if p.dim() == 4]
        _took_hold("channels_last", any(p.is_contiguous(memory_format=torch.channels_last) for p in weights))
        notes["optimization.channels_last"] = f"{len(weights)} convolution weights"
    if flags.compile == "blocks":
        # diffusers knows the repeated blocks of other models only (0.42.1).
        module._repeated_blocks = ["CogVideoXBlock"]
        module.compile_repeated_blocks()
        compiled = sum(b._compiled_call_impl is not None for b in module.transformer_blocks)
        _took_hold("compile", compiled > 0)
        notes["optimization.compile"] = f"{compiled} blocks compiled at first use"
    elif flags.compile == "full":
        module.compile()
        _took_hold("compile", module._compiled_call_impl is not None)
        notes["optimization.compile"] = "the whole transformer, compiled at first use"
    return notes


def _place(name: str, module: Any, flags: OptimizationSpec, device: str) -> dict[str, str]:
    """Move to the device, or install the hooks that move weights when they are needed."""
    if device == "cpu" or flags.offload == "none":
        module.to(device)
    elif flags.offload == "model":
        module.to("cpu")
    elif flags.offload == "sequential":
        from accelerate import cpu_offload

        cpu_offload(module.to("cpu"), torch.device(device))
        _took_hold("offload", any(p.device.type == "meta" for p in module.parameters()))
    else:
        from diffusers.hooks import apply_group_offloading

        apply_group_offloading(
            module.to("cpu"),
            onload_device=torch.device(device),
            offload_device=torch.device("cpu"),
            offload_type="leaf_level",
            use_stream=True,
        )
        _took_hold("offload", any(hasattr(m, "_diffusers_hook") for m in module.modules()))
    return (
        {} if device == "cpu" or flags.offload == "none" else {f"optimization.offload.{name}": flags.offload}
    )


def set_tiling(vae: Any, on: bool) -> None:
    """Default VAE tiling on or off, checked."""
    if on:
        vae.enable_tiling()
    else:
        vae.disable_tiling()
    _took_hold("vae_tiling", vae.use_tiling == on)


@contextmanager
def step_cache(transformer: Any, cache: str, timestep: Callable[[], Any]) -> Iterator[None]:
    """The chosen step cache, on inside the block. `timestep` gives the pipeline's current timestep."""
    if cache == "none":
        yield
        return
    transformer.enable_cache(_cache_config(cache, timestep))
    hooked = sum(
        bool(getattr(m, "_diffusers_hook", None) and m._diffusers_hook.hooks) for m in transformer.modules()
    )
    _took_hold(f"cache={cache}", transformer.is_cache_enabled and hooked > 0)
    try:
        yield
    finally:
        transformer.disable_cache()


def _cache_config(cache: str, timestep: Callable[[], Any]) -> Any:
    """Settings that match CogVideoX's blocks; TaylorSeer's own default patterns match none of them."""
    from diffusers import hooks

    if cache == "pab":
        return hooks.PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=2,
            spatial_attention_timestep_skip_range=(100, 800),
            current_timestep_callback=timestep,
        )
    if cache == "fastercache":
        return hooks.FasterCacheConfig(
            spatial_attention_block_skip_range=2,
            spatial_attention_timestep_skip_range=(-1, 681),
            current_timestep_callback=timestep,
            attention_weight_callback=lambda _: 0.3,
            unconditional_batch_skip_range=5,
            unconditional_batch_timestep_skip_range=(-1, 781),
            tensor_format="BFCHW",
        )
    if cache == "firstblock":
        return hooks.FirstBlockCacheConfig(threshold=FIRST_BLOCK_THRESHOLD)
    return hooks.TaylorSeerCacheConfig(cache_identifiers=[r"transformer_blocks\.\d+\.(attn1|ff)"])


def _took_hold(flag: str, held: bool) -> None:
    if not held:
        raise OptimizationError(
            f"optimization.{flag} was accepted and changed nothing with the installed diffusers; leave it out"
        )
