"""Which settings may be recommended: those whose runs work, were measured and meet every constraint."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from cogexp.study.query import ROW_COLUMNS, Query
from cogexp.study.rows import Row
from cogexp.study.table import Study
from cogexp.study.where import LEVELS, Condition

# A setting with less than this share of the prompts and seeds of the fullest one would shrink the comparison.
LEAST_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One setting with its finished runs."""

    axes: dict[str, Any]
    rows: tuple[Row, ...]

    def cells(self, name: str) -> dict[tuple[str, str, int], Row]:
        """(prompt, its text, seed) -> the run that has a value of `name`; of two, the one finished last."""
        found: dict[tuple[str, str, int], Row] = {}
        for row in sorted(self.rows, key=lambda row: (row.finished, row.run_id)):
            if row.number(name) is not None:
                found[row.prompt, row.text, row.seed] = row
        return found

    @property
    def peak(self) -> float | None:
        """Largest peak of allocated GPU memory of its runs, GiB."""
        peaks = [p for row in self.rows if (p := row.costs.get("peak_allocated_gib")) is not None]
        return max(peaks) if peaks else None

    def mean(self, name: str) -> float | None:
        """Mean over the runs that have a value; None when none has. Peaks are the largest instead."""
        if name == "peak_allocated_gib":
            return self.peak
        values = [v for row in self.rows if (v := row.number(name)) is not None]
        if values and name.endswith("_gib"):
            return max(values)
        return sum(values) / len(values) if values else None


@dataclass(frozen=True, kw_only=True)
class Excluded:
    """A setting that is not compared, and why. `hard`: it failed or broke a constraint; else data lack."""

    axes: dict[str, Any]
    reason: str
    hard: bool = True


def matching_rows(study: Study, query: Query) -> tuple[Study, list[str]]:
    """The runs that the conditions on ROW_COLUMNS leave, without interrupted ones; and remarks."""
    rows, notes = list(study.rows), []
    for condition in query.where:
        if condition.name in ROW_COLUMNS:
            rows = [row for row in rows if condition.holds(_column(row, condition.name))]
    stopped = [row for row in rows if row.status == "interrupted"]
    if stopped:
        notes.append(f"{len(stopped)} interrupted runs do not count: start them again")
    rows = [row for row in rows if row.status != "interrupted"]
    return replace(study, rows=tuple(rows)), notes


def _column(row: Row, name: str) -> Any:
    if name == "clip_network":
        return row.networks.get("clip_score") or row.networks.get("clip_consistency")
    return getattr(row, name)


def candidates(
    study: Study, query: Query, objective: str
) -> tuple[list[Candidate], list[Excluded], list[str]]:
    """Settings to compare, settings left out with the reason, and remarks."""
    eligible: list[Candidate] = []
    excluded: list[Excluded] = []
    notes: list[str] = []
    for rows in study.settings().values():
        axes = {name: rows[0].axes.get(name) for name in study.varying}
        done = Candidate(axes=rows[0].axes, rows=tuple(row for row in rows if row.status == "ok"))
        broken = _failures(rows) or [
            *(r for c in query.where if c.name not in ROW_COLUMNS and (r := _breaks(done, c))),
            *_over_limits(done, query),
        ]
        if broken:
            excluded.append(Excluded(axes=axes, reason="; ".join(broken)))
        elif not done.cells(objective):
            excluded.append(Excluded(axes=axes, reason=_unmeasured(done, objective), hard=False))
        else:
            eligible.append(done)
    if query.max_vram_gib is not None and any(candidate.peak is None for candidate in eligible):
        notes.append("runs without a GPU use no GPU memory: max_vram leaves them in")
    fullest = max((len(candidate.cells(objective)) for candidate in eligible), default=0)
    for candidate in list(eligible):
        count = len(candidate.cells(objective))
        if count < LEAST_SHARE * fullest:
            axes = {name: candidate.axes.get(name) for name in study.varying}
            reason = f"only {count} of {fullest} prompts and seeds were run: run the rest"
            excluded.append(Excluded(axes=axes, reason=reason, hard=False))
            eligible.remove(candidate)
    return eligible, excluded, notes


def _failures(rows: list[Row]) -> list[str]:
    """Failed and out-of-memory runs are evidence: '2 of 6 runs ran out of memory (denoise: ...)'."""
    bad = [row for row in rows if row.status in ("failed", "oom")]
    if not bad:
        return []
    by_status = Counter(row.status for row in bad)
    said = {"oom": "ran out of memory", "failed": "failed"}
    first = {row.status: row.error or "" for row in reversed(bad)}
    return [
        f"{count} of {len(rows)} runs {said[status]} ({' '.join(first[status].split())[:160]})"
        for status, count in sorted(by_status.items(), reverse=True)
    ]


def _breaks(candidate: Candidate, condition: Condition) -> str:
    """Why the setting does not meet the condition; '' when it does.

    A level or kind must hold in every run, a number on average (memory at its largest), an axis as it is.
    """
    detector, _, key = condition.name.rpartition(".")
    if key in ("level", "kind") and detector:
        return _breaks_everywhere(candidate, condition, detector, key)
    if condition.name in candidate.axes:
        value = candidate.axes[condition.name]
        return "" if condition.holds(value) else f"{condition.name} is {value} (where {condition})"
    mean = candidate.mean(condition.name)
    if mean is None:
        return f"{condition.name} was not measured (where {condition})"
    return "" if condition.holds(mean) else f"{condition.name} is {mean:.4g} (where {condition})"


def _breaks_everywhere(candidate: Candidate, condition: Condition, detector: str, key: str) -> str:
    found = [row.artifact(detector, key) for row in candidate.rows]
    if key == "level":
        known = [value for value in found if value in LEVELS]
        if len(known) < len(found):
            lacking = f"{len(found) - len(known)} of {len(found)} runs"
            return f"{condition.name} was not measured in {lacking} (where {condition})"
    bad = [str(value) for value in found if not condition.holds(value)]
    if not bad:
        return ""
    most = max(sorted(bad), key=bad.count)
    return f"{condition.name} is {most} in {len(bad)} of {len(found)} runs (where {condition})"


def _over_limits(candidate: Candidate, query: Query) -> list[str]:
    reasons = []
    peak, seconds = candidate.peak, candidate.mean("seconds")
    if query.max_vram_gib is not None:
        on_gpu = any(row.device not in (None, "cpu") for row in candidate.rows)
        if peak is None and on_gpu:
            reasons.append("its GPU memory was not measured (max_vram)")
        elif peak is not None and peak > query.max_vram_gib:
            reasons.append(f"peak VRAM is {peak:.1f} GiB (max_vram {query.max_vram_gib:g})")
    if query.max_seconds is not None:
        if seconds is None:
            reasons.append("its time was not measured (max_seconds)")
        elif seconds > query.max_seconds:
            reasons.append(f"a run takes {seconds:.1f} s (max_seconds {query.max_seconds:g})")
    return reasons


def _unmeasured(candidate: Candidate, objective: str) -> str:
    skips = [
        row.skipped[row.exact(objective)] for row in candidate.rows if row.exact(objective) in row.skipped
    ]
    if not candidate.rows:
        return "none of its runs finished"
    if skips:
        return f"{objective} was skipped: {skips[0]}"
    if objective.startswith("upscaled/") and candidate.axes.get("upscaler") == "none":
        return f"it has no {objective}: the setting does not upscale"
    return f"it has no {objective}"
