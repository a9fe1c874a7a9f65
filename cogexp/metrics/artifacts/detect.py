"""Run all detectors on a clip and say in one word what is wrong, where, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cogexp.metrics.artifacts.evidence import Detector, Evidence, Finding, level_of
from cogexp.metrics.artifacts.shear import find_shear
from cogexp.metrics.clip_frames import EvalClip

DETECTORS: dict[str, Detector] = {
    "shear": Detector(name="shear", find=find_shear, suspect=0.3, certain=0.45),
}


@dataclass(frozen=True, kw_only=True)
class Artifacts:
    """What was found. `kind` is the detector with the largest score, None when none reached its threshold.

    score: below 1 nothing, from 1 suspect, from 2 certain; it ranks clips. rows: (first, last) of the source.
    findings: detector -> (score, Finding in rows of the reduced clip).
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
            "detectors": {
                name: {
                    "score": round(score, 4),
                    "level": level_of(score),
                    "rows": _scaled(finding.rows, self.row_factor) if score >= 1 else None,
                }
                for name, (score, finding) in self.findings.items()
            },
        }


def detect(clip: EvalClip, names: Iterable[str] | None = None) -> Artifacts:
    """Run the named detectors (all by default) on `clip.detail`."""
    evidence = Evidence(frames=clip.detail, fps=clip.fps)
    findings: dict[str, tuple[float, Finding]] = {}
    for name in DETECTORS if names is None else names:
        finding = DETECTORS[name].find(evidence)
        findings[name] = (DETECTORS[name].score(finding.raw), finding)
    kind, (score, worst) = max(findings.items(), key=lambda item: item[1][0])
    level = level_of(score)
    found = level != "none"
    factor = clip.row_factor
    return Artifacts(
        level=level,
        kind=kind if found else None,
        score=round(score, 4),
        rows=_scaled(worst.rows, factor) if found else None,
        columns=_scaled(worst.columns, factor) if found else None,
        frames=worst.frames if found else (),
        findings=findings,
        row_factor=factor,
    )


def _scaled(span: tuple[int, int] | None, factor: int) -> tuple[int, int] | None:
    """Rows of the reduced clip -> rows of the source, both ends included."""
    return None if span is None else (span[0] * factor, span[1] * factor + factor - 1)
