"""What of a run goes to W&B: plain values made from the spec and the record. No W&B in here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cogexp.provenance import redact
from cogexp.record import Record

# Swept keys stay scalar in W&B's config, so that tables, filters and parallel coordinates can use them.
SHORT_NAMES = {
    "model.name": "model",
    "model.weights": "weights",
    "model.dtype": "dtype",
    "resolution.width": "width",
    "resolution.height": "height",
    "resolution.frames": "frames",
    "resolution.fps": "fps",
    "sampler.scheduler": "scheduler",
    "sampler.steps": "steps",
    "sampler.guidance": "guidance",
    "sampler.dynamic_cfg": "dynamic_cfg",
    "upscaler.name": "upscaler",
    "upscaler.scale": "scale",
    "upscaler.blend": "blend",
    "prompt.name": "prompt",
    "prompt.text": "prompt_text",
    "prompt.negative": "negative_prompt",
    "seed": "seed",
}
EXIT_CODES = {"ok": 0, "failed": 1, "oom": 1, "interrupted": 255}  # W&B shows 255 as a run stopped by hand
VIDEO_SUFFIXES, IMAGE_SUFFIXES = (".mp4",), (".png", ".jpg", ".jpeg")


def config(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec as flat scalars under short names, and nested under 'spec'; secrets in strings blotted out."""
    flat: dict[str, Any] = {}
    for group, values in spec.items():
        for key, value in values.items() if isinstance(values, Mapping) else [("", values)]:
            dotted = f"{group}.{key}".rstrip(".")
            if dotted in SHORT_NAMES:
                flat[SHORT_NAMES[dotted]] = value
            elif group == "optimization":
                flat[key] = value
    if "width" in flat and "height" in flat:
        flat["resolution"] = f"{flat['width']}x{flat['height']}"
    return _redacted({**flat, "spec": dict(spec)})


def after(record: Record) -> dict[str, Any]:
    """What the config learns at the end: automatic choices, the machine, versions, the commit."""
    found = {
        "resolved": record.resolved, "device": record.device, "versions": record.versions, "git": record.git
    }  # fmt: skip
    return _redacted({key: value for key, value in found.items() if value})


def numbers(record: Record) -> dict[str, float]:
    """Scores, artifact scores, and costs by stage and in all. What has no value is not there: never a 0.

    The total counts a reused stage with what it cost when it ran, so that runs of a sweep compare.
    """
    found: dict[str, float | None] = dict(record.scores)
    for clip, artifact in record.artifacts.items():
        if isinstance(artifact, Mapping):
            found[f"{clip}/artifact_score"] = artifact.get("score")
    for stage, costs in record.stages.items():
        found |= {f"stage/{stage}_{key}": value for key, value in costs.items()}
    for key in ("peak_allocated_gib", "peak_reserved_gib", "rss_gib"):
        peaks = [costs[key] for costs in record.stages.values() if costs.get(key) is not None]
        found[f"cost/{key}"] = max(peaks, default=None)
    spent = [costs["seconds"] for costs in record.stages.values() if costs.get("seconds") is not None]
    found["cost/seconds"] = sum(spent) if spent else None
    # A bool (stage/<name>_cached) becomes 0 or 1, which W&B can plot.
    return {key: value + 0 for key, value in found.items() if isinstance(value, (int, float))}


def texts(record: Record) -> dict[str, str]:
    """Status, error, reasons for skipped metrics and what the artifacts are: the summary's words."""
    found = {"status": record.status}
    found |= {f"error/{key}": str(value) for key, value in (record.error or {}).items() if value is not None}
    found |= {f"skipped/{metric}": reason for metric, reason in record.skipped.items()}
    for clip, artifact in record.artifacts.items():
        for key in ("level", "kind", "cause"):
            if isinstance(artifact, Mapping) and artifact.get(key) is not None:
                found[f"{clip}/artifact_{key}"] = str(artifact[key])
    return {key: redact(value) for key, value in found.items()}


def curves(record: Record) -> list[dict[str, float]]:
    """One row a frame: {'frame': i, 'per_frame/native/warp_error': ..., ...}; no key where there is no value.

    The prefix keeps the last frame of a curve from overwriting the score of the same name.
    """
    length = max(map(len, record.per_frame.values()), default=0)
    rows: list[dict[str, float]] = []
    for frame in range(length):
        values = {key: curve[frame] for key, curve in record.per_frame.items() if frame < len(curve)}
        present = {f"per_frame/{key}": value for key, value in values.items() if value is not None}
        if present:
            rows.append({"frame": frame, **present})
    return rows


def media(record: Record) -> dict[str, tuple[str, str]]:
    """{'video/native': ('video', 'native.mp4'), 'image/tear': ('image', 'tear.png')}, by suffix."""
    found = {}
    for name, file in record.files.items():
        suffix = file[file.rfind(".") :].lower()
        if suffix in VIDEO_SUFFIXES:
            found[f"video/{name}"] = ("video", file)
        elif suffix in IMAGE_SUFFIXES:
            found[f"image/{name}"] = ("image", file)
    return found


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: _redacted(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redacted(item) for item in value]
    return value
