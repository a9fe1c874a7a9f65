"""Which flags cannot be together, and what a flag needs of the machine: refused before anything is loaded.

Two step caches, two kinds of offload, two attention kernels or two quantizations of one part cannot even be
said: each is one key with one value. What is left is in `TOGETHER`, one line a rule.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from cogexp import machine, tiles
from cogexp.spec import OptimizationSpec, RunSpec, SpecError
from cogexp.system import requirements

PIECEWISE = ("sequential", "group", "group-block", "group-disk")  # weights come layer by layer
HALF_ONLY = ("cudnn", "flash-attn", "sage")
FP8_CAPABILITY = (8, 9)
# The library behind a value, and the extra of this package that installs it.
LIBRARIES = {
    "int8wo": ("torchao", "torchao"),
    "int8dq": ("torchao", "torchao"),
    "fp8wo": ("torchao", "torchao"),
    "fp8": ("torchao", "torchao"),
    "quanto-int8": ("optimum.quanto", "quanto"),
    "bnb-int8": ("bitsandbytes", "bitsandbytes"),
    "bnb-nf4": ("bitsandbytes", "bitsandbytes"),
    "gguf-q8": ("gguf", "gguf"),
    "gguf-q4": ("gguf", "gguf"),
}
VAE_CHANNELS = {"public": 256, "nano": 32}  # of the decoder's widest layer at full size
KERNEL_PACKAGES = {"flash-attn": ("flash_attn", "flash-attn"), "sage": ("sageattention", "sageattention")}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One combination that cannot be: whose flags these are, when it applies, why, and what to do instead."""

    flags: tuple[str, ...]
    applies: Callable[[OptimizationSpec], bool]
    reason: str
    nearest: str


TOGETHER: tuple[Rule, ...] = (
    Rule(
        flags=("quantize", "layerwise_cast"),
        applies=lambda f: f.quantize != "none" and f.layerwise_cast != "none",
        reason="both replace how the transformer's weights are stored",
        nearest="optimization.layerwise_cast=none",
    ),
    Rule(
        flags=("quantize_text", "text_cast"),
        applies=lambda f: f.quantize_text != "none" and f.text_cast != "none",
        reason="both replace how the text encoder's weights are stored",
        nearest="optimization.text_cast=none",
    ),
    Rule(
        flags=("offload", "quantize"),
        applies=lambda f: f.offload in PIECEWISE and f.quantize != "none",
        reason="the hooks that move single layers take quantized tensors apart",
        nearest="optimization.offload=model",
    ),
    Rule(
        flags=("offload", "quantize_text"),
        applies=lambda f: f.offload in PIECEWISE and f.quantize_text != "none",
        reason="the hooks that move single layers take quantized tensors apart",
        nearest="optimization.offload=model",
    ),
    Rule(
        flags=("offload", "layerwise_cast"),
        applies=lambda f: f.offload == "sequential" and f.layerwise_cast != "none",
        reason="one layer is on the GPU at a time either way, and casting wants it there earlier",
        nearest="optimization.offload=group",
    ),
    Rule(
        flags=("offload", "text_cast"),
        applies=lambda f: f.offload == "sequential" and f.text_cast != "none",
        reason="one layer is on the GPU at a time either way, and casting wants it there earlier",
        nearest="optimization.offload=group",
    ),
    Rule(
        flags=("offload", "vae_cast"),
        applies=lambda f: f.offload == "sequential" and f.vae_cast != "none",
        reason="one layer is on the GPU at a time either way, and casting wants it there earlier",
        nearest="optimization.offload=group",
    ),
    Rule(
        flags=("offload", "compile"),
        applies=lambda f: f.offload == "sequential" and f.compile != "none",
        reason="hooks swap every layer's weights in every call, and each swap ends the compiled graph",
        nearest="optimization.offload=group",
    ),
    Rule(
        flags=("cache", "split_cfg"),
        applies=lambda f: f.cache in ("pab", "fastercache") and f.split_cfg,
        reason="it keeps one state for both passes of guidance and would mix them",
        nearest="optimization.split_cfg=false, or cache=firstblock, taylorseer or magcache",
    ),
)


def check_together(flags: OptimizationSpec) -> None:
    """Raise SpecError for the first rule that these flags break."""
    for rule in TOGETHER:
        if rule.applies(flags):
            words = " with ".join(f"{flag}={_shown(getattr(flags, flag))}" for flag in rule.flags)
            raise SpecError(
                f"optimization.{rule.flags[0]} must not be combined so, got {words}: {rule.reason}; "
                f"nearest: {rule.nearest}"
            )


def check_here(spec: RunSpec, device: str) -> None:
    """Raise SpecError for what this machine lacks to run `spec`: a package or its version, a GPU, 16 bits."""
    flags = spec.optimization
    for flag, value in flags.changed().items():
        if problem := requirements.problem(f"optimization.{flag}={_shown(value)}"):
            raise SpecError(problem)
    for key in ("quantize", "quantize_text"):
        _check_quantization(key, getattr(flags, key), device)
    _check_attention(flags.attention, spec.model.dtype, device)
    if flags.cache == "fastercache" and spec.sampler.guidance <= 1:
        raise SpecError(
            "optimization.cache=fastercache needs guidance, whose pass without the prompt it skips, "
            f"got sampler.guidance={spec.sampler.guidance:g}; nearest: optimization.cache=pab"
        )


def decode_problem(spec: RunSpec) -> str | None:
    """Why diffusers' VAE cannot decode this frame whole, or None.

    Its convolutions cut inputs of more than 2 GiB (in 16 bits) along time, and beyond 1.6 megapixels into
    pieces that are shorter than the kernel (0.42). The lean decoder cuts where it must, unless weights come
    layer by layer: then only a layer's own code has them.
    """
    size, flags = spec.resolution, spec.optimization
    hooked = flags.offload in PIECEWISE or flags.vae_cast != "none"
    if tiles.layout(flags.vae_tiling, size.height, size.width).tiled or (flags.lean_vae and not hooked):
        return None
    # The widest input at full size, with the two frames in front that make the convolution causal.
    frames = 2 + (1 if size.frames == 1 else 9)
    channels = VAE_CHANNELS["nano" if spec.model.name == "nano" else "public"]
    for length in {frames, max(frames - 1, 3)}:
        gib = channels * length * size.height * size.width * 2 / 2**30
        if gib > 2 and -(-length // (int(gib / 2) + 1)) < 3:
            lean = "" if hooked else "optimization.lean_vae=true or "
            return (
                f"resolution {size.name} is too large for diffusers to decode whole: its convolutions cut "
                f"the clip shorter than their kernel; nearest: {lean}optimization.vae_tiling=edge"
            )
    return None


def check_decode(spec: RunSpec) -> None:
    """Raise SpecError when the frames could never be decoded."""
    if problem := decode_problem(spec):
        raise SpecError(problem)


def _check_quantization(key: str, how: str, device: str) -> None:
    if how == "none":
        return
    module, extra = LIBRARIES[how]
    if not _installed(module):
        raise SpecError(
            f"optimization.{key}={how} needs {module}, which is not installed: "
            f"pip install 'cogexp[{extra}]'; nearest: {_installed_alternative(key)}"
        )
    if how == "fp8":
        here = machine.gpu() if device != "cpu" else None
        missing = device == "cpu" or (
            here is not None and (here.capability or FP8_CAPABILITY) < FP8_CAPABILITY
        )
        if missing:
            raise SpecError(
                f"optimization.{key}=fp8 computes in 8 bits, which takes a GPU of compute capability 8.9 or "
                f"more, got {here.name if here else device}; nearest: optimization.{key}=fp8wo"
            )


def _check_attention(kernel: str, dtype: str, device: str) -> None:
    nearest = "nearest: optimization.attention=sdpa"
    if kernel in KERNEL_PACKAGES:
        module, package = KERNEL_PACKAGES[kernel]
        if not _installed(module):
            raise SpecError(
                f"optimization.attention={kernel} needs {module}, which is not installed: "
                f"pip install {package}; {nearest}"
            )
    if device == "cpu" and kernel in ("efficient", "cudnn", *KERNEL_PACKAGES):
        raise SpecError(
            f"optimization.attention={kernel} is a kernel for GPUs, got device=cpu; "
            "nearest: optimization.attention=flash"
        )
    if device != "cpu" and dtype == "float32" and kernel in (*HALF_ONLY, "flash"):
        raise SpecError(
            f"optimization.attention={kernel} computes in 16 bits on a GPU, got model.dtype=float32; "
            "nearest: optimization.attention=efficient"
        )


def _installed(module: str) -> bool:
    """Whether `module` can be imported, without importing it."""
    package = module.partition(".")[0]
    if importlib.util.find_spec(package) is None:
        return False
    return package == module or importlib.util.find_spec(module) is not None


def _installed_alternative(key: str) -> str:
    """A quantization whose library is here, else layerwise casting, which needs none."""
    here = next((how for how, (module, _) in LIBRARIES.items() if _installed(module)), None)
    cast = {"quantize": "layerwise_cast", "quantize_text": "text_cast"}[key]
    return f"optimization.{key}={here}" if here else f"optimization.{cast}=fp8"


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
