"""Run all detectors on a clip and say in one word what is wrong, where, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cogexp.metrics.artifacts.black import find_black
from cogexp.metrics.artifacts.checkerboard import find_checkerboard
from cogexp.metrics.artifacts.desync import find_desync
from cogexp.metrics.artifacts.duplicate import find_duplicated_band
from cogexp.metrics.artifacts.evidence import Detector, Evidence, Finding, level_of
from cogexp.metrics.artifacts.flicker import find_flicker
from cogexp.metrics.artifacts.freeze import find_freeze
from cogexp.metrics.artifacts.grid import find_grid
from cogexp.metrics.artifacts.noise import find_noise_band
from cogexp.metrics.artifacts.seam import find_vertical_seam
from cogexp.metrics.artifacts.seam_rows import find_seam
from cogexp.metrics.artifacts.shear import find_shear, find_vertical_shear
from cogexp.metrics.artifacts.smear import find_smear
from cogexp.metrics.artifacts.stripes import find_stripes
from cogexp.metrics.clip_frames import EvalClip
from cogexp.metrics.threads import one_each
from cogexp.tiles import layout

# Thresholds were chosen on development clips (cross_validation.py) and are judged on others: see evaluate.py.
DETECTORS: dict[str, Detector] = {
    "shear": Detector(find=find_shear, usual=0.29, suspect=0.62, certain=0.95),
    "vertical_shear": Detector(find=find_vertical_shear, usual=0.3, suspect=0.85, certain=1.25),
    "smear": Detector(find=find_smear, usual=0.9, suspect=1.95, certain=2.6),
    "duplicated_band": Detector(find=find_duplicated_band, usual=0.03, suspect=0.65, certain=1.25),
    "desync": Detector(find=find_desync, usual=0.42, suspect=3.0, certain=4.5),
    "noise_band": Detector(find=find_noise_band, usual=0.29, suspect=1.03, certain=1.45),
    "stripes": Detector(find=find_stripes, usual=2.7, suspect=3.95, certain=4.4),
    "seam": Detector(find=find_seam, usual=2.0, suspect=4.5, certain=5.4),
    "vertical_seam": Detector(find=find_vertical_seam, usual=1.16, suspect=2.65, certain=3.1),
    "grid": Detector(find=find_grid, usual=0.21, suspect=0.46, certain=0.62),
    "checkerboard": Detector(find=find_checkerboard, usual=0.34, suspect=1.1, certain=1.5),
    "flicker": Detector(find=find_flicker, usual=0.0, suspect=2.3, certain=4.2),
    "freeze": Detector(find=find_freeze, usual=1.5, suspect=4.3, certain=4.95),
    "black": Detector(find=find_black, usual=0.0, suspect=0.5, certain=1.0),
}

# A black frame repeats nothing, and a pattern all over the frame is full of lines and shifts.
EXPLAINS_OTHERS = ("black", "checkerboard", "grid")


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """Where the VAE's tiles meet, in rows and columns of the native clip."""

    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Artifacts:
    """What was found. `kind` is the detector that leads, None when none reached its threshold.

    score: below 1 nothing, from 1 suspect, from 2 certain; it ranks clips. rows, columns: (first, last) of
    the source.
    findings: detector -> (score, Finding in rows of the reduced clip); row_factor: source rows per reduced
    row.
    """

    level: str
    kind: str | None
    score: float
    rows: tuple[int, int] | None
    columns: tuple[int, int] | None
    frames: tuple[int, ...]
    findings: dict[str, tuple[float, Finding]]
    row_factor: int = 1

    def to_dict(self) -> dict[str, Any]:
        """The record's `artifacts`: plain values, rows of the source."""
        return {
            "level": self.level,
            "kind": self.kind,
            "score": self.score,
            "rows": list(self.rows) if self.rows else None,
            "columns": list(self.columns) if self.columns else None,
            "frames": list(self.frames),
            "detectors": {name: self._detector(name) for name in self.findings},
        }

    def _detector(self, name: str) -> dict[str, Any]:
        score, finding = self.findings[name]
        rows = scaled(finding.rows, self.row_factor) if level_of(score) != "none" else None
        place = {"score": round(score, 4), "level": level_of(score), "rows": list(rows) if rows else None}
        return place | ({"note": finding.note} if finding.note else {})


def detect(clip: EvalClip, names: Iterable[str] | None = None, tiles: Tiles | None = None) -> Artifacts:
    """Run the named detectors (all by default) on `clip.detail`.

    `tiles`: where the VAE's tiles met in this very clip (rows and columns of the source), () when it was
    decoded whole; None when nothing is known, then the places of diffusers' default tiling are looked at
    more closely.
    """
    evidence = evidence_of(
        clip, reduced(tiles, clip.row_factor) if tiles is not None else default_tiles(clip)
    )
    findings: dict[str, tuple[float, Finding]] = {}
    with one_each():  # of OpenCV's threads: what is done here is too short for more
        for name in DETECTORS if names is None else names:
            finding = DETECTORS[name].find(evidence)
            raw = finding.raw if math.isfinite(finding.raw) else DETECTORS[name].usual
            findings[name] = (DETECTORS[name].score(raw), finding)
    return summed_up(findings, clip.row_factor)


def summed_up(findings: dict[str, tuple[float, Finding]], factor: int) -> Artifacts:
    """What the findings, in rows of the clip reduced by `factor`, say together."""
    score = max(each for each, _ in findings.values())
    kind = leading(findings)
    worst = findings[kind][1]
    found = level_of(score) != "none"
    return Artifacts(
        level=level_of(score),
        kind=kind if found else None,
        score=round(score, 4),
        rows=scaled(worst.rows, factor) if found else None,
        columns=scaled(worst.columns, factor) if found else None,
        frames=worst.frames if found else (),
        findings=findings,
        row_factor=factor,
    )


def with_measured(artifacts: Artifacts, measured: Mapping[str, Finding]) -> Artifacts:
    """The same with findings that were measured, not guessed from the picture: in rows of the source, their
    raw evidence on the common scale. Of two findings of one detector the larger one stands."""
    factor, findings = artifacts.row_factor, dict(artifacts.findings)
    for name, finding in measured.items():
        if name not in findings or finding.raw > findings[name][0]:
            findings[name] = (finding.raw, shrunk(finding, factor))
    return summed_up(findings, factor)


def shrunk(finding: Finding, factor: int) -> Finding:
    """Rows and columns of the source -> those of the clip reduced by `factor`."""
    rows, columns = (
        None if span is None else (span[0] // factor, span[1] // factor)
        for span in (finding.rows, finding.columns)
    )
    return replace(finding, rows=rows, columns=columns, profile=finding.profile[::factor])


def leading(findings: Mapping[str, tuple[float, Finding]]) -> str:
    """The detector to name: a certain whole-frame fault explains the others, else the largest score."""
    for name in EXPLAINS_OTHERS:
        if name in findings and level_of(findings[name][0]) == "certain":
            return name
    return max(findings, key=lambda name: findings[name][0])


def evidence_of(clip: EvalClip, tiles: Tiles) -> Evidence:
    """The clip as the detectors see it."""
    return Evidence(frames=clip.detail, fps=clip.fps, tile_rows=tiles.rows, tile_columns=tiles.columns)


def reduced(tiles: Tiles, factor: int) -> Tiles:
    """Lines of the source -> lines of the reduced clip."""
    return Tiles(
        rows=tuple(row // factor for row in tiles.rows),
        columns=tuple(column // factor for column in tiles.columns),
    )


def default_tiles(clip: EvalClip) -> Tiles:
    """The lines of diffusers' default tiling, taking the reduced clip for the native one."""
    rows, columns = layout(True, *clip.detail.shape[1:3]).lines
    return Tiles(rows=rows, columns=columns)


def scaled(span: tuple[int, int] | None, factor: int) -> tuple[int, int] | None:
    """Rows of the reduced clip -> rows of the source, both ends included."""
    return None if span is None else (span[0] * factor, span[1] * factor + factor - 1)
