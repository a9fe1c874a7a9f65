"""Metrics of a clip and detectors of its artifacts.

Importing this package costs nothing: the names below load their module (numpy, OpenCV) at first use, and
torch and transformers are only imported when a metric with a network is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cogexp.metrics.clip_frames import EvalClip, EvalClipBuilder
    from cogexp.metrics.measurement import METRICS, Measurement, measure
    from cogexp.metrics.names import METRIC_NAMES, PRESETS, resolve_names

_HOME = {
    "EvalClip": "clip_frames",
    "EvalClipBuilder": "clip_frames",
    "METRICS": "measurement",
    "METRIC_NAMES": "names",
    "Measurement": "measurement",
    "PRESETS": "names",
    "measure": "measurement",
    "resolve_names": "names",
}

__all__ = [
    "METRICS",
    "METRIC_NAMES",
    "PRESETS",
    "EvalClip",
    "EvalClipBuilder",
    "Measurement",
    "measure",
    "resolve_names",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
