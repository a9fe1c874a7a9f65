"""From a nested mapping (what Hydra composed, or a dict in a notebook) to a checked request.

Strict: an unknown key, a wrong type, a null or a NaN is refused with a SpecError that names the dotted
key. Automatic values ("auto") are resolved here, once, and each choice is returned in `resolved`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cogexp import build_parts, catalog, machine, rules
from cogexp.checks import Section, known_keys
from cogexp.choose import (
    choose_model,
    choose_optimization,
    dtype_for,
    require_checkpoint,
    snap_frames,
    snap_size,
)
from cogexp.plan.preflight import MODES as PREFLIGHT_MODES
from cogexp.request import prompt_window
from cogexp.spec import (
    WEIGHTS,
    MetricsSpec,
    ModelSpec,
    ResolutionSpec,
    RunSpec,
    SpecError,
    check_choice,
    check_range,
)
from cogexp.storage.run_files import expanded, is_folder

TRACKING_MODES = ("auto", "online", "offline", "off")
GROUPS = ("model", "resolution", "sampler", "optimization", "upscaler", "prompt", "metrics", "tracking")
TOP_LEVEL = ("seed", "strict", "device", "outputs", "study", "force", "debug", "store_gb", "preflight")
NANO_KEYS = ("undertrained",)
RESOLUTION_KEYS = ("width", "height", "frames", "fps")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What does not change the result: where it is computed, kept and shown."""

    device: str = "cpu"
    outputs: Path = Path("outputs")
    study: str | None = None
    tracking: str = "off"
    project: str = "cogexp"
    entity: str | None = None
    force: bool = False
    debug: bool = False
    store_gb: float = 20.0
    preflight: str = "refuse"  # a run that cannot fit the GPU or main memory: refuse, warn, off


@dataclass(frozen=True, kw_only=True)
class Request:
    """A checked request: the spec, the settings around it, and every automatic choice with its reason."""

    spec: RunSpec
    settings: Settings
    resolved: dict[str, str] = field(default_factory=dict)


def build(config: Mapping[str, Any], *, needs_first_frame: bool = True) -> Request:
    """Check `config` (groups as nested mappings, plain values) and resolve what is automatic.

    `needs_first_frame=False` accepts image-to-video models without prompt.image, and flags that this machine
    cannot serve: enough to describe a setting, not to run it.

    Raises:
        SpecError: one or two lines that name the dotted key, the rule, the value and the nearest legal value.
    """
    known_keys(config, "", (*GROUPS, "nano", *TOP_LEVEL))
    resolved: dict[str, str] = {}
    top = Section(config, "", TOP_LEVEL, groups=(*GROUPS, "nano"))
    strict = top.boolean("strict", True)
    settings = _settings(config, top)
    variant, model = _model(config, settings, resolved)
    resolution = _resolution(config, variant, strict, resolved, trained=model.weights != "random")
    flags, automatic = build_parts.optimization(config, variant)
    spec = RunSpec(
        model=model,
        resolution=resolution,
        sampler=build_parts.sampler(config, variant, resolved),
        optimization=flags,
        upscaler=build_parts.upscaler(config),
        prompt=build_parts.prompt(config, variant, needs_first_frame),
        metrics=build_parts.metrics(config, variant),
        seed=top.integer("seed", 0),
    )
    if automatic:
        flags, resolved["optimization"] = choose_optimization(spec, automatic, settings.device)
    elif build_parts.lean_is_open(config) and not flags.lean_vae and rules.decode_problem(spec):
        flags = replace(flags, lean_vae=True)
        resolved["optimization.lean_vae"] = f"true: diffusers cannot decode {resolution.name} whole"
    spec = build_parts.canonical(replace(spec, optimization=flags), variant)
    resolved |= prompt_window.notes(spec)
    rules.check_together(flags)
    if needs_first_frame:
        rules.check_here(spec, settings.device)
        rules.check_decode(spec)
    return Request(spec=spec, settings=settings, resolved=resolved)


def build_downloads(config: Mapping[str, Any]) -> tuple[ModelSpec, MetricsSpec, Settings]:
    """Only what `fetch` needs: a checkpoint can be had without a first frame, whatever the size.

    Raises:
        SpecError: as `build`.
    """
    settings = build_settings(config)
    variant, model = _model(config, settings, {})
    return model, build_parts.metrics(config, variant), settings


def build_settings(config: Mapping[str, Any]) -> Settings:
    """Only what is around a run, for commands that look at finished ones.

    Raises:
        SpecError: as `build`.
    """
    known_keys(config, "", (*GROUPS, "nano", *TOP_LEVEL))
    return _settings(config, Section(config, "", TOP_LEVEL, groups=(*GROUPS, "nano")))


def _settings(config: Mapping[str, Any], top: Section) -> Settings:
    tracking = Section(config, "tracking", ("mode", "project", "entity"))
    mode = tracking.text("mode", "off")
    check_choice("tracking.mode", mode, TRACKING_MODES)
    store_gb = top.number("store_gb", 20.0)
    check_range("store_gb", store_gb, 0, 100_000)
    preflight = top.text("preflight", "refuse")
    check_choice("preflight", preflight, PREFLIGHT_MODES)
    device = top.text("device", "auto")
    kind, _, index = device.partition(":")
    check_choice("device", kind, ("auto", "cpu", "cuda"))
    if index and (kind != "cuda" or not index.isdigit()):
        raise SpecError(f"device must be auto, cpu, cuda or cuda:N, got {device!r}; nearest: {kind}")
    outputs = expanded(top.text("outputs", "outputs"))
    if os.path.lexists(outputs) and not is_folder(outputs):
        raise SpecError(
            f"outputs must be a folder, got the file {str(outputs)!r}; for example: outputs=outputs"
        )
    return Settings(
        device=machine.device_of(device),
        outputs=outputs,
        study=top.optional_text("study"),
        tracking=mode,
        project=tracking.text("project", "cogexp"),
        entity=tracking.optional_text("entity"),
        force=top.boolean("force", False),
        debug=top.boolean("debug", False),
        store_gb=store_gb,
        preflight=preflight,
    )


def _model(
    config: Mapping[str, Any], settings: Settings, resolved: dict[str, str]
) -> tuple[catalog.Variant, ModelSpec]:
    section = Section(config, "model", ("name", "weights", "dtype", "path", "revision"))
    name = section.text("name", "auto")
    check_choice("model.name", name, ("auto", *catalog.VARIANTS))
    folder, revision = section.optional_text("path"), section.optional_text("revision")
    weights, dtype = section.text("weights", "pretrained"), section.text("dtype", "auto")
    if name == "auto":
        if folder:
            raise SpecError(
                f"model.path needs a named model, got model=auto with model.path={folder!r}; "
                f"for example: model=cogvideox-5b"
            )
        size = Section(config, "resolution", RESOLUTION_KEYS)
        width, height, frames = (size.integer_or_auto(key, 0) for key in RESOLUTION_KEYS[:3])
        name, why = choose_model(width, height, frames, weights=weights, device=settings.device)
        resolved["model"] = why
    variant = catalog.VARIANTS[name]
    weak = Section(config, "nano", NANO_KEYS).boolean("undertrained", False)
    if weak and not variant.embedded:
        raise SpecError(f"nano.undertrained=true needs model=nano, got model={name}; nearest: false")
    check_choice("model.weights", weights, WEIGHTS if variant.embedded else WEIGHTS[:2])
    source: str | None = variant.hub_id
    if folder:
        source = require_checkpoint(variant, folder)
    if dtype == "auto":
        dtype = dtype_for(variant, settings.device)
        resolved["model.dtype"] = f"{dtype} on {settings.device}"
    if variant.embedded:
        # Imported here: only the embedded model has its identity in this package's own files.
        from cogexp.nano import weights as nano_weights

        weights, note = _embedded_weights("undertrained" if weak else weights)
        revision = nano_weights.fingerprint(kind=weights)
        if note:
            resolved["model.weights"] = note
    if weights == "random" and not variant.embedded:
        resolved["model.weights"] = "random: memory and speed are real, the pictures are noise"
        source = revision = None
    return variant, ModelSpec(name=name, source=source, revision=revision, dtype=dtype, weights=weights)


def _embedded_weights(asked: str) -> tuple[str, str | None]:
    """The embedded model's weights that can be had, and what is to be said of them."""
    from cogexp.nano import weights as nano_weights

    if notice := nano_weights.notice():
        return "random", notice
    if asked == "undertrained":
        if not nano_weights.undertrained_shipped():
            raise SpecError("nano.undertrained must be false: no early denoiser is shipped, got true")
        return asked, "an early denoiser of the embedded model: its clips are bad on purpose"
    if asked == "random":
        return asked, "random: the embedded model without its training, the pictures are noise"
    return asked, None


def _resolution(
    config: Mapping[str, Any],
    variant: catalog.Variant,
    strict: bool,
    resolved: dict[str, str],
    *,
    trained: bool,
) -> ResolutionSpec:
    section = Section(config, "resolution", RESOLUTION_KEYS)
    width = section.integer_or_auto("width", variant.native[0])
    height = section.integer_or_auto("height", variant.native[1])
    frames = section.integer_or_auto("frames", variant.native_frames)
    fps = section.rate_or_auto("fps", variant.native_fps)
    if not strict:
        width, height = snap_size(variant, width, height, resolved)
        frames = snap_frames(variant, frames, resolved)
    resolution = ResolutionSpec(width=width, height=height, frames=frames, fps=fps)
    for key, problem in (
        ("resolution", catalog.size_problem(variant, width, height)),
        ("resolution.frames", catalog.frames_problem(variant, frames)),
    ):
        if problem:
            raise SpecError(f"{key} {problem}")
    if note := catalog.off_trained_grid(variant, width, height, frames) if trained else None:
        resolved["resolution"] = "; ".join(filter(None, (resolved.get("resolution"), note)))
    return resolution
