"""What of a run goes to W&B: plain values made from the spec and the record. No W&B in here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cogexp.record import Record
from cogexp.system.redact import redact_all

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
# The metrics' own directions, repeated here because tracking stands below them; a test compares.
HIGHER_IS_BETTER = {
    "clip_score": True, "clip_consistency": True, "clip_iqa": True, "subject_consistency": True,
    "background_consistency": True, "motion_smoothness": True, "temporal_flickering": True,
    "lpips_adjacent": False, "warp_error": False, "warp_error_raft": False, "tear": False,
}  # fmt: skip
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
    return redact_all({**flat, "spec": dict(spec)})


def after(record: Record) -> dict[str, Any]:
    """What the config learns at the end: automatic choices, the machine, versions, the commit."""
    found = {
        "resolved": record.resolved, "device": record.device, "versions": record.versions, "git": record.git
    }  # fmt: skip
    return redact_all({key: value for key, value in found.items() if value})


def numbers(record: Record) -> dict[str, float]:
    """Scores, artifact scores, and costs by stage and in all. What has no value is not there: never a 0.

    'delivered/<metric>' is the score of the clip that the setting gives its user, so that settings with and
    without an upscaler lie on one axis. The total counts a reused stage with what it cost when it ran, so
    that runs of a sweep compare.
    """
    found: dict[str, float | None] = dict(record.scores)
    side = f"{delivered(record)}/"
    found |= {f"delivered/{k.removeprefix(side)}": v for k, v in record.scores.items() if k.startswith(side)}
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


def delivered(record: Record) -> str:
    """'upscaled' where the setting upscales, else 'native'."""
    upscaler = record.spec.get("upscaler")
    name = upscaler.get("name", "none") if isinstance(upscaler, Mapping) else "none"
    return "native" if name == "none" else "upscaled"


def goals(record: Record) -> dict[str, str]:
    """{'per_frame/native/clip_score': 'min', 'per_frame/native/warp_error': 'max'}: which frame is the worst.

    A curve's summary is its worst frame; curves of metrics without a better direction have none.
    """
    found = {}
    for key in record.per_frame:
        metric = key.rpartition("/")[2]
        if metric in HIGHER_IS_BETTER:
            found[f"per_frame/{key}"] = "min" if HIGHER_IS_BETTER[metric] else "max"
    return found


def texts(record: Record) -> dict[str, str]:
    """Status, error, reasons for skipped metrics and what the artifacts are: the summary's words."""
    found = {"status": record.status}
    found |= {f"error/{key}": str(value) for key, value in (record.error or {}).items() if value is not None}
    found |= {f"skipped/{metric}": reason for metric, reason in record.skipped.items()}
    for clip, artifact in record.artifacts.items():
        for key in ("level", "kind", "cause"):
            if isinstance(artifact, Mapping) and artifact.get(key) is not None:
                found[f"{clip}/artifact_{key}"] = str(artifact[key])
    return dict(redact_all(found))


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
    """{'video/native': ('video', 'native.mp4'), 'image/tear': ('image', 'tear.png')}, by suffix.

    A name that has a section of its own ('inspect/text-00') keeps it.
    """
    found = {}
    for name, file in record.files.items():
        suffix = file[file.rfind(".") :].lower()
        for kind, suffixes in (("video", VIDEO_SUFFIXES), ("image", IMAGE_SUFFIXES)):
            if suffix in suffixes:
                found[name if "/" in name else f"{kind}/{name}"] = (kind, file)
    return found
