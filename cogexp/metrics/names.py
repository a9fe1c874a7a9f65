"""The names of the metrics and the presets of them.

Standard library only, so that a wrong name costs no import.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from cogexp.spec import SpecError

METRIC_NAMES = (
    "clip_score",
    "clip_consistency",
    "lpips_adjacent",
    "temporal_flickering",
    "warp_error",
    "motion_px",
    "tear",
    "subject_consistency",
    "background_consistency",
    "motion_smoothness",
    "warp_error_raft",
    "clip_iqa",
    "sharpness",
    "exposure",
)

# fast: no network at all. default: what a sweep needs to compare settings.
PRESETS: dict[str, tuple[str, ...]] = {
    "none": (),
    "fast": ("temporal_flickering", "warp_error", "motion_px", "tear"),
    "default": (
        "clip_score",
        "clip_consistency",
        "lpips_adjacent",
        "temporal_flickering",
        "warp_error",
        "motion_px",
        "tear",
    ),
    "all": METRIC_NAMES,
}


def resolve_names(names: str | Iterable[str]) -> tuple[str, ...]:
    """Metric and preset names -> metric names, each once, in the order asked for.

    Raises SpecError for an unknown name, listing the choices and the nearest.
    """
    resolved: dict[str, None] = {}
    for name in (names,) if isinstance(names, str) else names:
        if name in PRESETS:
            resolved.update(dict.fromkeys(PRESETS[name]))
        elif name in METRIC_NAMES:
            resolved[name] = None
        else:
            choices = (*METRIC_NAMES, *PRESETS)
            near = get_close_matches(str(name), choices, n=1, cutoff=0.4)
            hint = f"; nearest: {near[0]}" if near else ""
            raise SpecError(f"metrics.names must be of {', '.join(choices)}, got {name!r}{hint}")
    return tuple(resolved)
