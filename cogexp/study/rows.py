"""One run as a row: axes, prompt, seed, scores, costs, artifacts. Standard library only.

An axis is one entry of the spec under a flat name ('resolution', 'steps', 'vae_tiling', 'upscaler' ...).
A setting is everything in the spec but prompt, seed and metrics: runs that share it are repetitions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cogexp.record import Record

# Groups whose entries are axes, in the order of the columns.
AXIS_GROUPS = ("model", "resolution", "sampler", "optimization", "upscaler")
AXIS_NAMES = {
    ("model", "name"): "model",
    ("upscaler", "name"): "upscaler",
    ("upscaler", "weights"): "upscaler_weights",
    ("upscaler", "weights_sha256"): "upscaler_weights_sha256",
}
# Loading is paid once a process, by whichever run came first: it is a column, and not part of `seconds`.
UNCOUNTED_STAGES = ("load",)
PEAKS = ("peak_allocated_gib", "peak_reserved_gib", "rss_gib")
CLIP_METRICS = ("clip_score", "clip_consistency")
# The note beside a metric names the network or the flow that it depends on; beside `tear` what was found.
OTHER_NOTES = ("tear",)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One run. `setting` is the key of its group; `networks` what its metrics depend on.

    `costs` holds seconds (all stages but load, each at what it cost when it ran), 'seconds.<stage>', and the
    peaks over the stages in GiB; None where nothing was measured.
    """

    run_id: str
    setting: str
    axes: dict[str, Any]
    prompt: str
    text: str
    seed: int
    status: str
    error: str | None = None
    study: str | None = None
    device: str | None = None
    scores: dict[str, float | None] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, Any] = field(default_factory=dict)
    costs: dict[str, float | None] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)
    finished: str = ""

    @property
    def delivered(self) -> str:
        """'upscaled' when the setting upscales, else 'native': the clip that a user of the setting gets."""
        upscaler = self.axes.get("upscaler")
        if upscaler is not None:
            return "native" if upscaler == "none" else "upscaled"
        return "upscaled" if any(key.startswith("upscaled/") for key in self.scores) else "native"

    def exact(self, name: str) -> str:
        """'clip_score' -> 'native/clip_score' or 'upscaled/clip_score'; an exact name stays."""
        return name if "/" in name else f"{self.delivered}/{name}"

    def number(self, name: str) -> float | None:
        """A metric (bare: of the delivered clip) or a cost; None when it was not measured."""
        value = self.costs.get(name) if name in self.costs else self.scores.get(self.exact(name))
        return None if value is None else float(value)

    def artifact(self, detector: str, key: str) -> Any:
        """`key` ('level', 'kind', 'score') of what was found; 'tear' is the worst of all detectors."""
        side, _, name = self.exact(detector).partition("/")
        found = self.artifacts.get(side) or {}
        return found.get(key) if name == "tear" else (found.get("detectors") or {}).get(name, {}).get(key)


def row_of(record: Record) -> Row:
    """One record as a row. What a record lacks (an older one, a failed one) is left out, never guessed."""
    spec = record.spec
    prompt, measured = _group(spec, "prompt"), _group(spec, "metrics")
    kept = {key: value for key, value in spec.items() if key not in ("prompt", "seed", "metrics")}
    error = record.error
    return Row(
        run_id=record.run_id,
        setting=json.dumps(kept, sort_keys=True),
        axes=axes_of(spec),
        prompt=str(prompt.get("name", "")),
        text="\n".join(str(prompt[key]) for key in ("text", "negative", "image") if prompt.get(key)),
        seed=int(spec.get("seed", 0)),
        status=record.status,
        error=None if error is None else f"{error.get('stage') or 'run'}: {error['message']}",
        study=record.study,
        device=record.device.get("gpu") or record.device.get("type"),
        scores=record.scores,
        skipped=record.skipped,
        artifacts=record.artifacts,
        costs=costs_of(record.stages),
        networks=_networks(record, measured),
        finished=record.finished,
    )


def _group(spec: Mapping[str, Any], name: str) -> dict[str, Any]:
    group = spec.get(name)
    return group if isinstance(group, dict) else {}


def axes_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Flat axis columns of a spec: {'model': 'nano', 'resolution': '512x288', 'width': 512, ...}."""
    axes: dict[str, Any] = {}
    for group in AXIS_GROUPS:
        values = _group(spec, group)
        if group == "resolution" and {"width", "height"} <= set(values):
            axes["resolution"] = f"{values['width']}x{values['height']}"
        for key, value in values.items():
            axes[AXIS_NAMES.get((group, key), key)] = value
    return axes


def costs_of(stages: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    """Costs of one run. A stage that came from the store counts with what it cost when it ran."""
    seconds = {name: cost.get("seconds") for name, cost in stages.items()}
    counted = [s for name, s in seconds.items() if s is not None and name not in UNCOUNTED_STAGES]
    costs: dict[str, float | None] = {"seconds": float(sum(counted)) if counted else None}
    for peak in PEAKS:
        measured = [cost[peak] for cost in stages.values() if cost.get(peak) is not None]
        costs[peak] = max(measured) if measured else None
    return costs | {f"seconds.{name}": value for name, value in seconds.items()}


def _networks(record: Record, measured: Mapping[str, Any]) -> dict[str, str]:
    """Metric -> what its value depends on: the network's name, and the height it was measured at."""
    networks = {metric: str(measured["clip_model"]) for metric in CLIP_METRICS if measured.get("clip_model")}
    for key, note in record.resolved.items():
        group, _, metric = key.partition(".")
        if (
            group == "metrics"
            and metric
            and metric not in OTHER_NOTES
            and (name := str(note).partition(";")[0])
        ):
            networks[metric] = name
    return networks | {"height": str(measured.get("height", ""))}


def flat(row: Row) -> dict[str, Any]:
    """One row as flat columns for a DataFrame."""
    found: dict[str, Any] = {
        "run_id": row.run_id,
        "study": row.study,
        "status": row.status,
        "error": row.error,
    }
    found |= {
        **row.axes,
        "prompt": row.prompt,
        "prompt_text": row.text,
        "seed": row.seed,
        "device": row.device,
    }
    found |= {**row.scores, **row.costs}
    for side, artifacts in row.artifacts.items():
        found |= {f"{side}/artifacts.{key}": artifacts.get(key) for key in ("level", "kind", "score")}
    return found | {f"network.{metric}": name for metric, name in row.networks.items() if metric != "height"}
