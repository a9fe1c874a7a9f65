"""One clip of a manifest, as the detectors and ffmpeg's filters see it: what the evaluation reckons with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cogexp import video
from cogexp.metrics import ffmpeg_filters
from cogexp.metrics.artifacts.detect import DETECTORS, detect
from cogexp.metrics.clip_frames import EvalClip

# kind of fault in a manifest -> the detectors that are meant for it
OWN: dict[str, tuple[str, ...]] = {
    "shear": ("shear",),
    "shear_mid": ("shear",),
    "smear": ("smear",),
    "dupband": ("duplicated_band",),
    "desync": ("desync",),
    "noiseband": ("noise_band",),
    "stripes": ("stripes",),
    "seam": ("seam",),
    "vshear": ("vertical_shear", "vertical_seam"),
    "vstep": ("vertical_seam", "vertical_shear"),
    "grid16": ("grid",),
    "checker": ("checkerboard",),
    "flicker": ("flicker",),
    "freeze": ("freeze",),
    "black": ("black",),
}


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One clip: what the manifest says and what was found.

    source: what the clip was cut from. raws: the detectors' own units; `scores` and `common` are on their
    common scale. row_error: rows (or columns) from the fault's true line (of a displaced band the nearer one:
    which side of it is displaced cannot be seen) to where its detector saw it, None when it was not found or
    has no line.
    """

    kind: str
    source: str
    clean: bool
    hard: bool
    raws: dict[str, float]
    scores: dict[str, float]
    common: float
    row_error: float | None
    filters: dict[str, float]

    def own(self, kind: str) -> float:
        """The score of the detectors meant for `kind` (of all of them for a kind that has none)."""
        return max(self.scores[name] for name in OWN.get(kind, tuple(DETECTORS)))


def judge(folder: Path, entry: dict[str, Any], filters: bool) -> Judged:
    """Run the detectors (and ffmpeg's filters) on one clip of the manifest."""
    clip = video.read(folder / entry["file"])
    found = detect(EvalClip.collect([clip.frames], clip.fps))
    kind, params = str(entry.get("type", "")), entry.get("params", {})
    own = OWN.get(kind, ())
    best = max(own, key=lambda name: found.findings[name][0], default=None)
    error = None
    if best is not None and found.findings[best][0] >= 1:
        place = found.findings[best][1]
        if "y0" in params and place.rows is not None:
            lines = [float(params[key]) for key in ("y0", "y1") if key in params]
            error = min(abs(place.rows[0] * found.row_factor - line) for line in lines)
        elif "x0" in params and place.columns is not None:
            error = abs(place.columns[0] * found.row_factor - float(params["x0"]))
    return Judged(
        kind=kind,
        source=str(entry.get("source") or entry.get("src") or entry["file"]),
        clean=entry["label"] == "clean",
        hard="hard" in entry.get("tags", ()),
        raws={name: finding.raw for name, (_, finding) in found.findings.items()},
        scores={name: score for name, (score, _) in found.findings.items()},
        common=found.score,
        row_error=error,
        filters=ffmpeg_filters.filter_scores(folder / entry["file"]) if filters else {},
    )
