"""Which setting? The best under constraints, with confidence, or plainly that it is not decided."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cogexp.spec import SpecError
from cogexp.study.eligible import Candidate, Excluded, candidates, matching_rows
from cogexp.study.fair import comparable, hints_on, refuse_mixed, skips_of
from cogexp.study.pareto import front
from cogexp.study.query import Query, check_where, objective_of, range_of
from cogexp.study.table import Row, Study

if TYPE_CHECKING:
    from cogexp.study.statistics import Comparison, Estimate

__all__ = ["Choice", "Query", "TableRow", "pick"]

Cell = tuple[str, str, int]  # prompt name, prompt text, seed


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One setting in the answer. `metrics`: the objective, the other metrics and seconds, with n runs each.

    `peak_allocated_gib` is the largest of its runs; None where no GPU memory was measured. `behind`: the
    leader's paired lead in the objective (larger is better for the leader), None for the leader itself.
    """

    axes: dict[str, Any]
    metrics: dict[str, tuple[Estimate, int]]
    peak_allocated_gib: float | None
    pareto: bool = False
    behind: Estimate | None = None
    p: float | None = None
    tied: bool = False
    run_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The answer. `recommended` is the leader's values of the varying axes, also when nothing is decided."""

    recommended: dict[str, Any] | None
    confidence: float
    decisive: bool
    objective: str
    query: Query
    table: tuple[TableRow, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    notes: tuple[str, ...] = ()
    prompts: int = 0
    seeds: int = 0
    more_prompts: int | None = None
    more_seeds: int | None = None
    more_runs: int | None = None
    sentence: str = ""
    cells: int = field(default=0)


def pick(study: Study, query: Query) -> Choice:
    """Group the runs by setting, leave out what fails or breaks a constraint, compare the rest in pairs.

    Raises:
        SpecError: an unknown name, nothing measured, or scores that must not be compared.
    """
    from cogexp.study.words import sentence

    objective = objective_of(query, study)
    check_where(query, study)
    study, notes = matching_rows(study, query)
    if not study.rows:
        raise SpecError(
            f"where must leave some runs, got {query.constraints()['where']!r}, which leaves none"
        )
    refuse_mixed(study, objective, query)
    eligible, excluded, more = candidates(study, query, objective)
    notes = [*study.notes, *notes, *more, *hints_on(study, query, objective)]
    cells = _shared_cells(eligible, objective)
    if eligible and not cells:
        notes.append("no prompt and seed was run at every setting, so nothing can be compared in pairs")
    if not eligible or not cells:
        choice = Choice(
            recommended=None, confidence=0.0, decisive=False, objective=objective, query=query,
            excluded=tuple(excluded), notes=tuple(notes),
        )  # fmt: skip
        return replace(choice, sentence=sentence(choice))
    choice = _compared(study, query, objective, eligible, excluded, cells)
    choice = replace(choice, notes=(*notes, *skips_of(eligible, objective)))
    return replace(choice, sentence=sentence(choice))


def _compared(
    study: Study, query: Query, objective: str, eligible: list[Candidate], excluded: list[Excluded],
    cells: list[Cell],
) -> Choice:  # fmt: skip
    import numpy as np

    from cogexp.study.statistics import compare

    sign = 1.0 if query.maximize else -1.0
    values = np.array(
        [[sign * _value(c.cells(objective)[cell], objective) for cell in cells] for c in eligible]
    )
    prompts = [cell[:2] for cell in cells]
    labels = [sorted(set(prompts)).index(prompt) for prompt in prompts]
    found = compare(values, labels)
    table = _table(eligible, objective, found, sign, study)
    alone = len(eligible) == 1 and bool(excluded) and all(item.hard for item in excluded)
    seeds = round(len(cells) / len(set(prompts)))
    choice = Choice(
        recommended=dict(table[found.leader].axes),
        confidence=1.0 if alone else round(found.confidence, 4),
        decisive=alone or found.decisive,
        objective=objective,
        query=query,
        table=tuple(sorted(table, key=lambda row: row.behind.mean if row.behind else float("-inf"))),
        excluded=tuple(excluded),
        prompts=len(set(prompts)),
        seeds=seeds,
        cells=len(cells),
    )
    return choice if choice.decisive or not found.rivals else _with_need(choice, found)


def _value(row: Row, objective: str) -> float:
    value = row.number(objective)
    assert value is not None  # cells() holds only rows that have it
    return value


def _shared_cells(eligible: list[Candidate], objective: str) -> list[Cell]:
    sets = [set(candidate.cells(objective)) for candidate in eligible]
    return sorted(set.intersection(*sets)) if sets else []


def _table(
    eligible: list[Candidate], objective: str, found: Comparison, sign: float, study: Study
) -> list[TableRow]:
    from cogexp.study.statistics import LEVEL, Estimate

    rivals = {rival.index: rival for rival in found.rivals}
    others = [name for name in comparable(study) if name != objective]
    cells = set(_shared_cells(eligible, objective))
    rows = []
    for index, candidate in enumerate(eligible):
        mean = found.means[index]
        ends = sorted((sign * mean.low, sign * mean.high))
        shown = _possible(Estimate(mean=sign * mean.mean, low=ends[0], high=ends[1]), objective)
        metrics = {objective: (shown, len(cells))}
        for name in (*others, "seconds"):
            if name != objective and (known := _spread(candidate, name)) is not None:
                metrics[name] = known
        rival = rivals.get(index)
        rows.append(
            TableRow(
                axes={name: candidate.axes.get(name) for name in study.varying},
                metrics=metrics,
                peak_allocated_gib=candidate.peak,
                behind=rival.difference if rival else None,
                p=rival.p if rival else None,
                tied=rival is not None and not found.decisive and rival.p_holm > LEVEL,
                run_id=candidate.rows[0].run_id,
            )
        )
    costs = [(-sign * row.metrics[objective][0].mean, row.peak_allocated_gib, _seconds(row)) for row in rows]
    return [replace(row, pareto=on) for row, on in zip(rows, front(costs), strict=True)]


def _seconds(row: TableRow) -> float | None:
    return row.metrics["seconds"][0].mean if "seconds" in row.metrics else None


def _spread(candidate: Candidate, name: str) -> tuple[Estimate, int] | None:
    """Mean and interval of a further metric over the runs that have it."""
    import numpy as np

    from cogexp.study.statistics import compare

    cells = sorted(candidate.cells(name).items())
    if not cells:
        return None
    values = np.array([[_value(row, name) for _, row in cells]])
    prompts = sorted({cell[:2] for cell, _ in cells})
    mean = compare(values, [prompts.index(cell[:2]) for cell, _ in cells], draws=1000).means[0]
    return _possible(mean, name), len(cells)


def _possible(estimate: Estimate, name: str) -> Estimate:
    """Its interval within what the metric can be: no negative seconds. A NaN, of one run, stays."""
    least, most = range_of(name)
    if math.isnan(estimate.low):
        return estimate
    return replace(estimate, low=max(estimate.low, least), high=min(estimate.high, most))


def _with_need(choice: Choice, found: Comparison) -> Choice:
    """How many more prompts or seeds would decide it: enough to beat every rival that is not beaten."""
    from cogexp.study.power import needed_seeds, needed_units
    from cogexp.study.statistics import LEVEL

    if found.units < 2:
        return choice
    one_prompt = choice.prompts == 1
    open_rivals = [rival for rival in found.rivals if rival.p > LEVEL]
    units, seeds = [], []
    for rival in open_rivals:
        gap, between, within = rival.difference.mean, rival.between, rival.within
        units.append(needed_units(gap, between, within, 1 if one_prompt else choice.seeds, LEVEL))
        seeds.append(None if one_prompt else needed_seeds(gap, between, within, found.units, LEVEL))
    known_units = [need for need in units if need is not None]
    known_seeds = [need for need in seeds if need is not None]
    more = max(1, max(known_units) - found.units) if len(known_units) == len(units) else None
    settings = len(open_rivals) + 1
    if one_prompt:
        return replace(choice, more_seeds=more, more_runs=None if more is None else more * settings)
    return replace(
        choice,
        more_prompts=more,
        more_seeds=max(1, max(known_seeds) - choice.seeds) if len(known_seeds) == len(seeds) else None,
        more_runs=None if more is None else more * choice.seeds * settings,
    )
