"""Main memory of a run: what it needs at its peak, and the setting that fits where it does not.

On a CPU that is all weights and the largest activations; on a GPU what passes through while it is loaded, and
what offloading keeps there. Networks of metrics and upscalers are not counted: 2 GiB at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from cogexp.catalog import VARIANTS, Variant, size_problem
from cogexp.plan import memory
from cogexp.plan.cards import Card
from cogexp.plan.weights import PARTS, weights
from cogexp.rules import TOGETHER
from cogexp.spec import RunSpec

# Resident memory of the process before there are weights: measured on a CPU (tests/plan/test_weights.py), an
# estimate with CUDA's libraries.
LIBRARIES_CPU_GIB, LIBRARIES_GPU_GIB = 1.0, 3.0
# torch rounds each pinned tensor up to a power of two: bytes taken for each byte of weights, by the shapes of
# the real modules (tests/plan/test_host.py); the transformers by their width.
PINNED_TRANSFORMER = {1920: 1.197, 3072: 1.776}
PINNED = {"text_encoder": 1.381, "vae": 1.198}
# Flags that store a part's weights in fewer bits, once it is loaded.
NARROWING = {
    "text_encoder": ("quantize_text", "text_cast"),
    "transformer": ("quantize", "layerwise_cast"),
    "vae": ("vae_cast",),
}
# Settings of less main memory, gentlest first: on a GPU by where weights wait, on a CPU by what is computed.
GPU_REMEDIES: tuple[dict[str, Any], ...] = (
    {"offload": "none"},
    {"offload": "text"},
    {"offload": "model"},
    {"offload": "sequential"},
    {"offload": "group-disk"},
)
CPU_REMEDIES: tuple[dict[str, Any], ...] = ({"lean_vae": True}, {"vae_tiling": "edge"})
SMALLER_MODELS = ("cogvideox-2b", "nano")
SMALLER_SIZES = ((512, 288), (384, 224), (256, 144), (64, 64))


def host_gib(spec: RunSpec, variant: Variant, device: str) -> float:
    """GiB at the peak. Parts are loaded one after the other, in their full width before they are quantized,
    cast or offloaded."""
    waiting, loading = _waiting(spec, variant, device), _loading(spec, variant, device)
    held, peak = 0.0, 0.0
    for part in PARTS:
        peak = max(peak, held + max(loading[part], waiting[part]))
        held += waiting[part]
    if device == "cpu":
        activations = max(stage.activations_gib for stage in memory.stages(spec, variant).values())
        return LIBRARIES_CPU_GIB + max(peak, held + activations)
    return LIBRARIES_GPU_GIB + peak


def _waiting(spec: RunSpec, variant: Variant, device: str) -> dict[str, float]:
    """GiB of each part's weights that stay in main memory."""
    held, offload = weights(spec, variant), spec.optimization.offload
    if device == "cpu" or offload in ("model", "sequential"):
        return held
    if offload in ("group", "group-block"):
        return pinned(spec, variant)
    return {part: held[part] if (offload, part) == ("text", "text_encoder") else 0.0 for part in PARTS}


def _loading(spec: RunSpec, variant: Variant, device: str) -> dict[str, float]:
    """GiB of main memory that each part takes while it is loaded and placed."""
    flags = spec.optimization
    narrowing = [flag for names in NARROWING.values() for flag in names]
    plain: dict[str, Any] = dict.fromkeys(narrowing, "none")
    full = weights(replace(spec, optimization=replace(flags, **plain)), variant)
    if flags.offload == "group-block" and device != "cpu":
        # All blocks are pinned before the first one's own memory is given back; the VAE goes layer by layer.
        copies = pinned(spec, variant)
        return {part: full[part] + (copies[part] if part != "vae" else 0.0) for part in PARTS}
    if device == "cpu" or spec.model.weights != "random" or variant.embedded:
        return full
    # Random weights that stay on the GPU as they are made there.
    stays = {"none": PARTS, "text": ("transformer", "vae")}.get(flags.offload, ())
    made_there = [p for p in stays if all(getattr(flags, flag) == "none" for flag in NARROWING[p])]
    return {part: 0.0 if part in made_there else full[part] for part in PARTS}


def pinned(spec: RunSpec, variant: Variant) -> dict[str, float]:
    """GiB of each part's weights in page-locked memory."""
    share = PINNED | {"transformer": PINNED_TRANSFORMER.get(variant.model_dim, 2.0)}
    return {part: held * share[part] for part, held in weights(spec, variant).items()}


def remedy(spec: RunSpec, device: str, card: Card | None, room_gib: float) -> str:
    """The gentlest setting that fits `room_gib` of main memory (and the card), as words to paste."""
    for words, candidate in _candidates(spec, device):
        variant = VARIANTS[candidate.model.name]
        need = host_gib(candidate, variant, device)
        stages = memory.stages(candidate, variant).values()
        on_card = card is None or max(stage.peak_allocated_gib for stage in stages) <= card.usable_gib
        if need <= room_gib and on_card:
            return f"nearest that fits: {words} ({need:.1f} GiB)"
    return "no setting fits; nearest: more main memory"


def _candidates(spec: RunSpec, device: str) -> Iterator[tuple[str, RunSpec]]:
    for changes in GPU_REMEDIES if device != "cpu" else CPU_REMEDIES:
        flags = replace(spec.optimization, **changes)
        if flags != spec.optimization and not any(rule.applies(flags) for rule in TOGETHER):
            words = [f"optimization.{key}={str(value).lower()}" for key, value in changes.items()]
            yield " ".join(words), replace(spec, optimization=flags)
    if spec.model.dtype == "float32" and spec.model.name != "nano":
        yield "model.dtype=bfloat16", replace(spec, model=replace(spec.model, dtype="bfloat16"))
    size = spec.resolution
    for width, height in SMALLER_SIZES:
        fewer = width * height < size.width * size.height
        if fewer and size_problem(VARIANTS[spec.model.name], width, height) is None:
            smaller = replace(size, width=width, height=height)
            yield f"resolution={smaller.name}", replace(spec, resolution=smaller)
    for name in SMALLER_MODELS:
        variant = VARIANTS[name]
        fewer = variant.transformer_parameters < VARIANTS[spec.model.name].transformer_parameters
        if not fewer or size_problem(variant, size.width, size.height) is not None:
            continue
        model = replace(
            spec.model, name=name, weights="pretrained" if variant.embedded else spec.model.weights
        )
        yield f"model={name}", replace(spec, model=model)
        if spec.model.dtype == "float32" and not variant.embedded:
            narrow = replace(model, dtype="bfloat16")
            yield f"model={name} model.dtype=bfloat16", replace(spec, model=narrow)
