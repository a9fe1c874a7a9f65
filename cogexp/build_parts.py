"""The groups of a request that depend on little else: sampler, optimization, upscaler, prompt, metrics.

Each function reads one group of the nested mapping and gives its spec, or a SpecError; see `cogexp.build`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cogexp import catalog
from cogexp.checks import Section, require_file
from cogexp.plan.settings import AXES
from cogexp.request import effects
from cogexp.spec import (
    FLAG_CHOICES,
    MetricsSpec,
    OptimizationSpec,
    PromptSpec,
    RunSpec,
    SamplerSpec,
    SpecError,
    UpscalerSpec,
)

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def sampler(config: Mapping[str, Any], variant: catalog.Variant, resolved: dict[str, str]) -> SamplerSpec:
    """Steps, guidance and scheduler; what is automatic is the authors' choice."""
    section = Section(config, "sampler", ("scheduler", "steps", "guidance", "dynamic_cfg"))
    scheduler = section.text("scheduler", "auto")
    if scheduler == "auto":
        scheduler = variant.scheduler
        resolved["sampler"] = f"{scheduler}: the authors' choice for {variant.name}"
    dynamic = section.boolean_or_auto("dynamic_cfg")
    return SamplerSpec(
        scheduler=scheduler,
        steps=section.integer_or_auto("steps", variant.steps),
        guidance=section.number_or_auto("guidance", variant.guidance),
        dynamic_cfg=variant.dynamic_cfg if dynamic is None else dynamic,
    )


def lean_is_open(config: Mapping[str, Any]) -> bool:
    """Whether the user left it to us which decoder it is."""
    group = config.get("optimization", {})
    return isinstance(group, Mapping) and group.get("lean_vae", "auto") == "auto"


def optimization(
    config: Mapping[str, Any], variant: catalog.Variant
) -> tuple[OptimizationSpec, tuple[str, ...]]:
    """The flags, and which of them are automatic: those are at their defaults until the rest is known."""
    group = config.get("optimization", {})
    if isinstance(group, Mapping):
        group = {"lean_vae": "auto", **group}
    automatic = tuple(flag for flag in AXES if isinstance(group, Mapping) and group.get(flag) == "auto")
    if automatic:
        group = {flag: value for flag, value in group.items() if flag not in automatic}
    section = Section({"optimization": group}, "optimization", tuple(FLAG_CHOICES))
    values: dict[str, Any] = {}
    for flag, choices in FLAG_CHOICES.items():
        default = getattr(OptimizationSpec(), flag)
        texts = tuple(choice for choice in choices if isinstance(choice, str))
        if not isinstance(default, bool):
            values[flag] = section.text(flag, default)
        elif texts:
            values[flag] = section.boolean_or_choice(flag, default, texts)
        else:
            values[flag] = section.boolean(flag, default)
    if automatic == ("lean_vae",):
        # Exact. It saves time on a CPU, where the embedded model runs; elsewhere it is asked for or planned.
        values["lean_vae"], automatic = variant.embedded, ()
    return OptimizationSpec(**values), automatic


def upscaler(config: Mapping[str, Any]) -> UpscalerSpec:
    """Name, factor and weights; without an upscaler the rest is ignored."""
    section = Section(config, "upscaler", ("name", "scale", "blend", "tile_px", "weights"))
    weights = section.optional_text("weights")
    spec = UpscalerSpec(
        name=section.text("name", "none"),
        scale=section.integer("scale", 4),
        blend=section.number("blend", 0.0),
        tile_px=section.integer("tile_px", 0),
        weights=weights,
    )
    if spec.name == "none":
        # `upscaler=none,esrgan upscaler.scale=2` is a natural sweep: the native job ignores the rest.
        return UpscalerSpec(name="none", scale=1)
    if spec.scale == 1:
        raise SpecError(f"upscaler.scale must be 2 or 4 for upscaler={spec.name}, got 1; nearest: 2")
    if weights and spec.name != "spandrel":
        raise SpecError(
            f"upscaler.weights is only for upscaler=spandrel, got upscaler={spec.name} with {weights!r}; "
            f"nearest: upscaler=spandrel"
        )
    if weights:
        file = require_file("upscaler.weights", weights, (".pth", ".pt", ".safetensors"))
        return replace(spec, weights=file.path, weights_sha256=file.sha256)
    return spec


def prompt(config: Mapping[str, Any], variant: catalog.Variant, needs_first_frame: bool) -> PromptSpec:
    """The texts, and for image-to-video models the first frame."""
    section = Section(config, "prompt", ("name", "text", "negative", "image"))
    image = section.optional_text("image")
    if variant.image_to_video and not image and needs_first_frame:
        raise SpecError(
            f"prompt.image must name the first frame for {variant.name} (image to video), got null; "
            f"for example: prompt.image=first.png, or model={variant.name.removesuffix('-i2v')}"
        )
    if image and not variant.image_to_video:
        raise SpecError(
            f"prompt.image is only for image-to-video models, got model={variant.name} with {image!r}; "
            f"nearest: model=cogvideox-5b-i2v"
        )
    file = require_file("prompt.image", image, IMAGE_SUFFIXES) if image else None
    if file:
        from cogexp.media.picture import picture_fault

        if fault := picture_fault(Path(file.path)):
            raise SpecError(f"prompt.image must be a picture that can be read, got {image!r}: {fault}")
    return PromptSpec(
        name=section.text("name", "custom"),
        text=section.text("text"),
        negative=section.text("negative", ""),
        image=file.path if file else None,
        image_sha256=file.sha256 if file else None,
    )


def metrics(config: Mapping[str, Any], variant: catalog.Variant) -> MetricsSpec:
    """Names of the metrics and the CLIP that scores: the embedded model has one of its own."""
    from cogexp.metrics.names import resolve_names  # standard library only
    from cogexp.nano import weights as nano_weights

    section = Section(config, "metrics", ("names", "clip_model", "height", "batch"))
    clip_model, own = section.text("clip_model", "auto"), nano_weights.CLIP_NAME
    if clip_model == "auto":
        clip_model = automatic_clip(variant)
    elif clip_model == own and not variant.embedded:
        raise SpecError(
            f"metrics.clip_model={own} scores only the embedded model's world, got model={variant.name}; "
            "nearest: metrics.clip_model=auto"
        )
    return MetricsSpec(
        names=resolve_names(section.names("names")),
        clip_model=clip_model,
        height=section.integer("height", 288),
        batch=section.integer("batch", 16),
    )


def automatic_clip(variant: catalog.Variant) -> str:
    """The CLIP that scores unless another one is named: the embedded model has one of its own."""
    from cogexp.nano import weights as nano_weights

    here = variant.embedded and nano_weights.weight_file("clip").is_file()
    return nano_weights.CLIP_NAME if here else MetricsSpec().clip_model


def canonical(spec: RunSpec, variant: catalog.Variant) -> RunSpec:
    """The spec without what decides nothing in it: equal results have one identity."""
    return effects.canonical(spec, dynamic_cfg=variant.dynamic_cfg, clip_model=automatic_clip(variant))
