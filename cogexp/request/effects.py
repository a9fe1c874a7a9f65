"""Keys that a user sets and that have no effect in a setting: which, why, and what makes them take effect.

A preset's own value is no wish of the user's and is not judged. A value that asks for what happens anyway
(`upscaler.blend=0` without an upscaler) asks for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cogexp import tiles
from cogexp.catalog import VARIANTS
from cogexp.spec import MetricsSpec, RunSpec, UpscalerSpec

INTERPOLATIONS = ("bicubic", "lanczos")
# Metrics whose networks see the frames in batches; tests/request/test_effects.py holds them to METRICS.
CLIP_METRICS = ("clip_score", "clip_consistency", "background_consistency", "clip_iqa")
BATCHED_METRICS = (*CLIP_METRICS, "lpips_adjacent", "subject_consistency")

Config = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One job: what was composed, and for keys that need automatic choices what was built of it."""

    config: Config
    spec: RunSpec | None = None
    device: str = "cpu"

    def value(self, key: str) -> Any:
        """The composed value of a dotted key; None where there is none."""
        found: Any = self.config
        for part in key.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When `key` has no effect.

    neutral: its values that ask for nothing, the first of them what it is set to where it is dropped.
    before: whether the composed words decide it (a request with it might not even be built).
    reason: '' when the key has an effect, else 'with ..., ...; it takes ...'.
    """

    key: str
    neutral: tuple[Any, ...]
    reason: Callable[[Setting], str]
    before: bool = False


def _upscaler(setting: Setting) -> str:
    return (
        "with upscaler=none; it takes an upscaler, such as upscaler=esrgan"
        if _name(setting) == "none"
        else ""
    )


def _name(setting: Setting) -> str:
    return str(setting.value("upscaler.name"))


def _blend(setting: Setting) -> str:
    if _name(setting) == "lanczos":
        return "with upscaler=lanczos, which it mixes in; it takes another upscaler, such as upscaler=esrgan"
    return _upscaler(setting)


def _tile_px(setting: Setting) -> str:
    if _name(setting) in INTERPOLATIONS:
        return f"with upscaler={_name(setting)}, which needs no tiles; it takes a network: upscaler=esrgan"
    return _upscaler(setting)


def _weights_file(setting: Setting) -> str:
    if _name(setting) == "spandrel":
        return ""
    return f"with upscaler={_name(setting)}; it takes upscaler=spandrel"


def _guidance(setting: Setting) -> str:
    assert setting.spec is not None
    if setting.spec.sampler.guidance > 1:
        return ""
    return "with sampler.guidance=1, which is none; it takes sampler.guidance above 1"


def _vae_tiling(setting: Setting) -> str:
    assert setting.spec is not None
    size, kind = setting.spec.resolution, setting.value("optimization.vae_tiling")
    if tiles.layout(kind, size.height, size.width).tiled:
        return ""
    return f"at resolution={size.name}, which is one tile; it takes a larger resolution"


def _offload(setting: Setting) -> str:
    return (
        "with device=cpu, where everything is already; it takes device=cuda"
        if setting.device == "cpu"
        else ""
    )


def _first_frame(setting: Setting) -> str:
    variant = VARIANTS.get(str(setting.value("model.name")))
    if variant is None or variant.image_to_video:
        return ""
    return f"with model={variant.name}, no image-to-video model; it takes model=cogvideox-5b-i2v"


def _undertrained(setting: Setting) -> str:
    name = str(setting.value("model.name"))
    return f"with model={name}; it takes model=nano" if name in VARIANTS and name != "nano" else ""


def _model_weights(setting: Setting) -> str:
    if setting.value("nano.undertrained") is not True:
        return ""
    return "with nano.undertrained=true, which chooses the weights; it takes nano.undertrained=false"


def _path(setting: Setting) -> str:
    if setting.value("model.weights") != "random":
        return ""
    return "with model.weights=random, which are loaded from nowhere; it takes model.weights=pretrained"


def _revision(setting: Setting) -> str:
    assert setting.spec is not None
    if setting.spec.model.name == "nano":
        return "with model=nano, which is part of this package; it takes a model of the hub"
    if setting.value("model.path"):
        return "with model.path, a folder; it takes a model of the hub"
    return _path(setting)


def _metrics(setting: Setting, of: tuple[str, ...] | None, takes: str) -> str:
    assert setting.spec is not None
    names = setting.spec.metrics.names
    if any(of is None or name in of for name in names):
        return ""
    return f"with {'metrics=none' if not names else 'metrics.names=' + ','.join(names)}; it takes {takes}"


def _tracking(setting: Setting) -> str:
    return "with tracking=off; it takes tracking=auto" if setting.value("tracking.mode") == "off" else ""


_PLAIN, _NO_METRICS = UpscalerSpec(), MetricsSpec()
RULES: tuple[Rule, ...] = (
    Rule(key="upscaler.weights", neutral=(None,), reason=_weights_file, before=True),
    Rule(key="upscaler.scale", neutral=(_PLAIN.scale, 1), reason=_upscaler),
    Rule(key="upscaler.blend", neutral=(_PLAIN.blend,), reason=_blend),
    Rule(key="upscaler.tile_px", neutral=(_PLAIN.tile_px,), reason=_tile_px),
    Rule(key="sampler.dynamic_cfg", neutral=("auto", False), reason=_guidance),
    Rule(key="prompt.negative", neutral=("",), reason=_guidance),
    Rule(key="prompt.image", neutral=(None,), reason=_first_frame, before=True),
    Rule(key="optimization.split_cfg", neutral=(False, "auto"), reason=_guidance),
    Rule(key="optimization.vae_tiling", neutral=(False, "auto"), reason=_vae_tiling),
    Rule(
        key="optimization.vae_slicing",
        neutral=(False,),
        reason=lambda _: "on a single clip, and a run makes one; leave it out",
    ),
    Rule(key="optimization.offload", neutral=("none", "auto"), reason=_offload),
    Rule(key="nano.undertrained", neutral=(False,), reason=_undertrained, before=True),
    Rule(key="model.weights", neutral=("pretrained",), reason=_model_weights, before=True),
    Rule(key="model.path", neutral=(None,), reason=_path, before=True),
    Rule(key="model.revision", neutral=(None,), reason=_revision),
    Rule(
        key="metrics.clip_model",
        neutral=("auto",),
        reason=lambda s: _metrics(s, CLIP_METRICS, "a metric with CLIP, such as metrics.names=clip_score"),
    ),
    Rule(
        key="metrics.batch",
        neutral=(_NO_METRICS.batch,),
        reason=lambda s: _metrics(
            s, BATCHED_METRICS, "a metric with a network, such as metrics.names=clip_score"
        ),
    ),
    Rule(
        key="metrics.height",
        neutral=(_NO_METRICS.height,),
        reason=lambda s: _metrics(s, None, "metrics=fast, default or all"),
    ),
    Rule(key="tracking.project", neutral=("cogexp",), reason=_tracking),
    Rule(key="tracking.entity", neutral=(None,), reason=_tracking),
)


def without(config: Config, key: str, value: Any) -> dict[str, Any]:
    """`config` with another value of a dotted key."""
    group, _, name = key.partition(".")
    return {**config, group: {**config[group], name: value}}


def canonical(spec: RunSpec, *, dynamic_cfg: bool, clip_model: str) -> RunSpec:
    """The spec without what decides nothing in it, so that equal results have one identity.

    dynamic_cfg, clip_model: what they are when nobody sets them.
    """
    sampler, prompt, metrics, upscaler, model = (
        spec.sampler, spec.prompt, spec.metrics, spec.upscaler, spec.model
    )  # fmt: skip
    if sampler.guidance <= 1:
        sampler, prompt = replace(sampler, dynamic_cfg=dynamic_cfg), replace(prompt, negative="")
    if not set(metrics.names) & set(CLIP_METRICS):
        metrics = replace(metrics, clip_model=clip_model)
    if not set(metrics.names) & set(BATCHED_METRICS):
        metrics = replace(metrics, batch=_NO_METRICS.batch)
    if not metrics.names:
        metrics = replace(metrics, height=_NO_METRICS.height)
    if upscaler.name in INTERPOLATIONS:
        upscaler = replace(upscaler, tile_px=0, blend=0.0 if upscaler.name == "lanczos" else upscaler.blend)
    if model.source is not None and Path(model.source).is_absolute():
        model = replace(model, revision=None)
    return replace(spec, sampler=sampler, prompt=prompt, metrics=metrics, upscaler=upscaler, model=model)
