"""What `pick` was asked: objective, conditions and limits from words 'key=value'. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

from cogexp.spec import SpecError, check_range
from cogexp.study.table import Study
from cogexp.study.where import Condition, known, parse

KEYS = ("maximize", "minimize", "where", "max_vram", "max_seconds", "study")
DEFAULT_OBJECTIVE = "clip_score"
LOWER_IS_BETTER = ("lpips_adjacent", "warp_error", "warp_error_raft", "tear")
# What a metric can be at all: the interval of a few runs may reach further, and is cut there.
RANGES = {
    "clip_score": (0.0, 100.0),
    "clip_consistency": (-1.0, 1.0),
    "temporal_flickering": (0.0, 1.0),
    "subject_consistency": (0.0, 1.0),
    "background_consistency": (0.0, 1.0),
    "motion_smoothness": (0.0, 1.0),
    "clip_iqa": (0.0, 1.0),
    "exposure": (0.0, 1.0),
}
NOT_NEGATIVE = (*LOWER_IS_BETTER, "motion_px", "sharpness")
ROW_COLUMNS = ("prompt", "seed", "study", "device", "clip_network")
VRAM = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>GiB|GB|G|MiB|MB|M)?", re.IGNORECASE)
SECONDS = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>s|min|h)?")
SECONDS_IN = {"s": 1.0, "min": 60.0, "h": 3600.0, None: 1.0}


@dataclass(frozen=True, kw_only=True)
class Query:
    """`objective` is a metric or a cost; 'clip_score' is of the delivered clip, 'native/clip_score' exact.

    None: clip_score where the runs have it. `max_vram_gib` bounds the largest peak of allocated GPU memory of
    a setting's runs, `max_seconds` their mean time without loading.
    """

    objective: str | None = None
    maximize: bool = True
    where: tuple[Condition, ...] = ()
    max_vram_gib: float | None = None
    max_seconds: float | None = None
    # Which runs are looked at, not what is asked of them: `load(folder, query.study)`.
    study: str | None = field(default=None, compare=False)

    def constraints(self) -> dict[str, str | float | None]:
        """As `--json` shows them."""
        where = " and ".join(map(str, self.where)) or None
        return {"where": where, "max_vram_gib": self.max_vram_gib, "max_seconds": self.max_seconds}


def read_query(words: Iterable[str]) -> Query:
    """Words 'key=value' -> Query.

    Raises:
        SpecError: naming the key, the rule, the value and the nearest legal one.
    """
    values: dict[str, str] = {}
    for word in words:
        key, _, value = word.partition("=")
        if key not in KEYS:
            near = get_close_matches(key, KEYS, n=1, cutoff=0.4)
            hint = f"; nearest: {near[0]}" if near else ""
            raise SpecError(f"pick knows the keys {', '.join(KEYS)}, got {key!r}{hint}")
        if key in values:
            raise SpecError(f"{key} must be given once, got {values[key]!r} and {value!r}")
        if not value.strip():
            raise SpecError(f"{key} must have a value, got none; for example: {_EXAMPLES[key]}")
        values[key] = value.strip()
    if "maximize" in values and "minimize" in values:
        raise SpecError(
            f"pick takes maximize or minimize, got both ({values['maximize']}, {values['minimize']}); "
            "put the other one into where"
        )
    return Query(
        objective=values.get("maximize") or values.get("minimize"),
        maximize="minimize" not in values,
        where=parse(values.get("where", "")),
        max_vram_gib=_vram(values["max_vram"]) if "max_vram" in values else None,
        max_seconds=_seconds(values["max_seconds"]) if "max_seconds" in values else None,
        study=values.get("study"),
    )


_EXAMPLES = {
    "maximize": "maximize=clip_score",
    "minimize": "minimize=seconds",
    "where": "where='tear.level!=certain'",
    "max_vram": "max_vram=24GB",
    "max_seconds": "max_seconds=300",
    "study": "study=quick",
}


def _vram(text: str) -> float:
    """'24GB' -> 24.0. Cards are named in GB and hold GiB: both words mean GiB here."""
    match = VRAM.fullmatch(text)
    if match is None:
        raise SpecError(f"max_vram must be a size such as 24GB, got {text!r}; nearest: 24GB")
    gib = float(match["number"]) / (1024 if (match["unit"] or "G").upper().startswith("M") else 1)
    check_range("max_vram", gib, 0.001, 100_000)
    return gib


def _seconds(text: str) -> float:
    match = SECONDS.fullmatch(text)
    if match is None:
        raise SpecError(f"max_seconds must be a time such as 300, 300s or 5min, got {text!r}; nearest: 300")
    seconds = float(match["number"]) * SECONDS_IN[match["unit"]]
    check_range("max_seconds", seconds, 0.001, 1e9)
    return seconds


def objective_of(query: Query, study: Study) -> str:
    """The objective's name, checked against what these runs have.

    Raises:
        SpecError: an unknown name, or none given where there is no clip_score.
    """
    measured = [name for name in numbers(study) if any(row.number(name) is not None for row in study.rows)]
    if query.objective is None:
        if DEFAULT_OBJECTIVE not in measured:
            raise SpecError(
                f"maximize or minimize must name a metric: there is no {DEFAULT_OBJECTIVE} in these runs; "
                f"there are: {', '.join(name for name in measured if '/' not in name and '.' not in name)}"
            )
        return DEFAULT_OBJECTIVE
    key = "maximize" if query.maximize else "minimize"
    known(query.objective, numbers(study), key)
    if query.objective not in measured:
        raise SpecError(
            f"{key}={query.objective} was measured in no run: {why_skipped(study, query.objective)}"
        )
    return query.objective


def why_skipped(study: Study, name: str) -> str:
    """The first reason why a metric has no value."""
    reasons = [row.skipped[row.exact(name)] for row in study.rows if row.exact(name) in row.skipped]
    return reasons[0] if reasons else "no run has it"


def numbers(study: Study) -> tuple[str, ...]:
    """All names that stand for a number: metrics, exact metrics, costs."""
    exact = tuple(dict.fromkeys(key for row in study.rows for key in row.scores))
    costs = tuple(dict.fromkeys(key for row in study.rows for key in row.costs))
    return (*study.metrics(), *costs, *exact)


def check_where(query: Query, study: Study) -> None:
    """Raise SpecError when a condition names nothing that these runs have."""
    detectors = {"tear"} | {
        name
        for row in study.rows
        for found in row.artifacts.values()
        for name in (found or {}).get("detectors") or {}
    }
    levels = [
        f"{side}{name}.{key}"
        for side in ("", "native/", "upscaled/")
        for name in sorted(detectors)
        for key in ("level", "kind")
    ]
    for condition in query.where:
        known(condition.name, (*numbers(study), *levels, *study.axes, *ROW_COLUMNS), "where")


def range_of(name: str) -> tuple[float, float]:
    """The smallest and the largest value that a metric or a cost can have."""
    bare = name.rpartition("/")[2]
    if bare in NOT_NEGATIVE or bare.startswith("seconds") or bare.endswith(("_gib", "_seconds")):
        return 0.0, float("inf")
    return RANGES.get(bare, (float("-inf"), float("inf")))
