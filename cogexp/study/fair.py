"""What may be compared with what, and what a reader should know of it. Standard library only."""

from __future__ import annotations

from cogexp.spec import SpecError
from cogexp.study.eligible import Candidate
from cogexp.study.query import LOWER_IS_BETTER, Query
from cogexp.study.rows import CLIP_METRICS
from cogexp.study.table import Study


def comparable(study: Study) -> list[str]:
    """Metrics of one network in all runs: others would be averages of different things."""
    return [name for name in study.metrics() if len(_networks(study, name)) < 2]


def _networks(study: Study, name: str) -> set[str]:
    bare = name.partition("/")[2] or name
    return {
        network for row in study.rows if row.number(name) is not None and (network := row.networks.get(bare))
    }


def refuse_mixed(study: Study, objective: str, query: Query) -> None:
    """Scores of different networks, or measured at different heights, are different quantities."""
    for name in (objective, *(condition.name for condition in query.where)):
        networks = sorted(_networks(study, name))
        if len(networks) > 1:
            hint = (
                f"; nearest: where='clip_network=={networks[0]}'"
                if (name.partition("/")[2] or name) in CLIP_METRICS
                else ""
            )
            raise SpecError(
                f"{name} must come from one network to be compared, got {', '.join(networks)}{hint}"
            )
    heights = sorted({height for row in study.rows if row.scores and (height := row.networks.get("height"))})
    if len(heights) > 1:
        raise SpecError(
            f"scores must be measured at one metrics.height to be compared, got {', '.join(heights)}; "
            f"nearest: measure all runs at metrics.height={heights[0]}"
        )


def hints_on(study: Study, query: Query, objective: str) -> list[str]:
    hints = []
    bare = objective.partition("/")[2] or objective
    if query.maximize and (bare in LOWER_IS_BETTER or bare.startswith("seconds") or bare.endswith("_gib")):
        hints.append(f"{objective} is better when lower: did you mean minimize={objective}?")
    mixed = [name for name in study.metrics() if name not in comparable(study)]
    hints += [f"{name} is left out: its runs used different networks" for name in mixed]
    devices = sorted({row.device for row in study.rows if row.device})
    if len(devices) > 1:
        hints.append(
            f"the runs come from different devices ({', '.join(devices)}): their seconds do not compare"
        )
    return hints


def skips_of(eligible: list[Candidate], objective: str) -> list[str]:
    """Metrics without a value, named with the number of runs and the first reason."""
    skipped: dict[str, list[str]] = {}
    runs = [row for candidate in eligible for row in candidate.rows]
    for row in runs:
        for key, reason in sorted(row.skipped.items()):
            skipped.setdefault(key, []).append(reason)
    return [
        f"{key} was skipped in {len(reasons)} of {len(runs)} runs: {reasons[0]}"
        for key, reasons in sorted(skipped.items())
    ]
