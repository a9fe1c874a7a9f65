"""Optimization flags: each is applied, then probed; one that did not take hold is an error, not a silence.

`prepare` does what stays on a part for as long as it is held. Step caches and the order of the two passes of
guidance belong to one clip: `caches`, `denoise`.
"""

from __future__ import annotations

from typing import Any

import torch

from cogexp import tiles
from cogexp.engine import attention, cast, lean_vae, offload, quantize
from cogexp.engine.probe import OptimizationError, took_hold
from cogexp.spec import OptimizationSpec, RunSpec

__all__ = ["PART_FLAGS", "OptimizationError", "made_on", "optimization_notes", "prepare", "set_tiling"]

# Flags that are built into a held part: another value means loading it again.
PART_FLAGS: dict[str, tuple[str, ...]] = {
    "transformer": (
        "offload", "layerwise_cast", "quantize", "compile", "attention", "fuse_qkv", "channels_last",
    ),
    "text_encoder": ("offload", "text_cast", "quantize_text"),
    "vae": ("offload", "vae_cast"),
}  # fmt: skip
CAST_FLAGS = {"transformer": "layerwise_cast", "text_encoder": "text_cast", "vae": "vae_cast"}
QUANTIZE_FLAGS = {"transformer": "quantize", "text_encoder": "quantize_text"}


def prepare(name: str, module: Any, flags: OptimizationSpec, device: str) -> tuple[Any, dict[str, str]]:
    """Apply the flags that concern the part `name`, place it, and return it with what is worth recording.

    Raises:
        OptimizationError: a flag did not take hold.
    """
    notes: dict[str, str] = {}
    if name == "transformer":
        notes |= _layout(module, flags, device)
    if (flag := QUANTIZE_FLAGS.get(name)) and (how := getattr(flags, flag)) != "none":
        notes[f"optimization.{flag}"] = quantize.quantize(name, module, how, flag, device)
    if (flag := CAST_FLAGS.get(name)) and getattr(flags, flag) == "fp8":
        notes[f"optimization.{flag}"] = cast.cast(name, module, flag)
    if name == "transformer":
        notes |= _compile(module, flags)
    if said := offload.place(name, module, flags, device):
        notes[f"optimization.offload.{name}"] = said
    return module, notes


def made_on(name: str, flags: OptimizationSpec, device: str) -> str:
    """Where the random weights of a part are made: on the device only when they will stay there as they are.

    What is quantized, cast or offloaded may be too large for the device before it is.
    """
    narrowed = any(
        getattr(flags, table[name]) != "none" for table in (CAST_FLAGS, QUANTIZE_FLAGS) if name in table
    )
    stays = flags.offload in offload.WHOLE and not offload.leaves(name, flags, device)
    return device if stays and not narrowed else "cpu"


def _layout(module: Any, flags: OptimizationSpec, device: str) -> dict[str, str]:
    """Fused projections, the attention kernel and the memory layout of the transformer."""
    notes = {}
    if flags.fuse_qkv:
        module.fuse_qkv_projections()
        fused = sum(hasattr(m, "to_qkv") for m in module.modules())
        took_hold("fuse_qkv", fused > 0)
        notes["optimization.fuse_qkv"] = f"{fused} attention layers fused"
    if flags.attention != "sdpa":
        notes["optimization.attention"] = attention.use(module, flags.attention, device)
    if flags.channels_last:
        module.to(memory_format=torch.channels_last)
        weights = [p for p in module.parameters() if p.dim() == 4]
        took_hold("channels_last", any(p.is_contiguous(memory_format=torch.channels_last) for p in weights))
        notes["optimization.channels_last"] = f"{len(weights)} convolution weights"
    return notes


def _compile(module: Any, flags: OptimizationSpec) -> dict[str, str]:
    if flags.compile == "blocks":
        # diffusers knows the repeated blocks of other models only (0.42.1).
        module._repeated_blocks = ["CogVideoXBlock"]
        module.compile_repeated_blocks()
        compiled = sum(b._compiled_call_impl is not None for b in module.transformer_blocks)
        took_hold("compile", compiled > 0)
        return {"optimization.compile": f"{compiled} blocks compiled at first use"}
    if flags.compile == "full":
        module.compile()
        took_hold("compile", module._compiled_call_impl is not None)
        return {"optimization.compile": "the whole transformer, compiled at first use"}
    return {}


def set_tiling(vae: Any, tiling: bool | str) -> None:
    """diffusers' own tiling on (True) or off, checked."""
    if tiling is True:
        vae.enable_tiling()
    else:
        vae.disable_tiling()
    took_hold("vae_tiling", vae.use_tiling == (tiling is True))


def optimization_notes(spec: RunSpec, device: str) -> dict[str, str]:
    """Flags that cannot take hold on this device or job, with the reason; how lean_vae and tiles stand."""
    flags, size, notes = spec.optimization, spec.resolution, {}
    if device == "cpu" and flags.offload != "none":
        notes["optimization.offload"] = f"{flags.offload}: no effect on a CPU, everything is there already"
    if flags.lean_vae:
        notes["optimization.lean_vae"] = lean_vae.standing()
    if flags.vae_tiling:
        laid = tiles.layout(flags.vae_tiling, size.height, size.width)
        notes["optimization.vae_tiling"] = laid.said
    if flags.vae_slicing:
        notes["optimization.vae_slicing"] = "no effect: one clip at a time is decoded anyway"
    if flags.split_cfg and spec.sampler.guidance <= 1:
        notes["optimization.split_cfg"] = "no effect: without guidance there is one pass a step anyway"
    return notes


def is_compiled(part: Any) -> bool:
    """True when a part, or one of its blocks, is compiled."""
    modules = part.modules() if isinstance(part, torch.nn.Module) else ()
    return any(getattr(module, "_compiled_call_impl", None) is not None for module in modules)
