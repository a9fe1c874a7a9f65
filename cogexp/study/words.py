"""The answer in words, as Markdown and as JSON. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cogexp.study.power import MOST

if TYPE_CHECKING:
    from cogexp.study.pick import Choice, TableRow
    from cogexp.study.statistics import Estimate

SHOWN_METRICS = ("clip_score", "tear", "motion_px")


def label(axes: Mapping[str, Any]) -> str:
    """'resolution=512x288 upscaler=esrgan'; what is the same everywhere is not said."""
    return " ".join(f"{name}={plain(value)}" for name, value in axes.items()) or "the only setting"


def plain(value: Any) -> str:
    """A value as the command line writes it."""
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def digits(value: float | None) -> str:
    """A figure with sensible digits; a dash for none."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.2f}" if abs(value) >= 1 or value == 0 else f"{value:.4f}"


def bounded(estimate: Estimate) -> str:
    """'27.10 [26.80, 27.40]', all three with the same number of decimals."""
    if math.isnan(estimate.low):
        return digits(estimate.mean)
    # Enough decimals to tell the ends of the interval apart: 0.9957 [0.9951, 0.9963].
    span = estimate.high - estimate.low
    places = min(5, max(2, 1 - math.floor(math.log10(span)))) if span > 0 else 4
    return f"{estimate.mean:.{places}f} [{estimate.low:.{places}f}, {estimate.high:.{places}f}]"


def figure(row: TableRow, name: str, objective: str) -> str:
    """A cell of the table: the objective with its interval, everything else as a mean."""
    if name not in row.metrics:
        return "-"
    estimate = row.metrics[name][0]
    return bounded(estimate) if name == objective else digits(estimate.mean)


def sentence(choice: Choice) -> str:
    """The recommendation with its confidence, or that the runs do not decide it and how many more would."""
    if choice.recommended is None:
        if choice.excluded and not choice.table:
            return f"No setting is left to recommend: {_tally(choice)}."
        return "The runs do not decide it: no two settings share a prompt and a seed."
    leader = choice.table[0]
    reached = f"{choice.objective} {bounded(leader.metrics[choice.objective][0])}{_cost(leader)}"
    if len(choice.table) == 1:
        if choice.decisive:
            why = "the only setting that works and meets the constraints"
            return f"Recommended: {label(leader.axes)}, {why} ({reached})."
        return f"The runs do not decide it: only {label(leader.axes)} can be compared ({reached})."
    over = f"{choice.prompts} {_plural('prompt', choice.prompts)} and {choice.cells} runs a setting"
    if choice.decisive:
        only = " It holds for this one prompt." if choice.prompts == 1 else ""
        return (
            f"Recommended: {label(leader.axes)}, with {_percent(choice.confidence)} confidence that it is "
            f"the best of {len(choice.table)} settings ({reached}; {over}).{only}"
        )
    return f"The runs do not decide it. {_standing(choice, leader)} {_need(choice)}{_cheapest(choice)}"


def _standing(choice: Choice, leader: TableRow) -> str:
    closest = max(choice.table[1:], key=lambda row: row.p or 0.0)
    assert closest.behind is not None
    return (
        f"{label(leader.axes)} leads in {choice.objective}, ahead of {label(closest.axes)} by "
        f"{bounded(closest.behind)}: {_percent(choice.confidence)} confidence, and a claim takes 95 %."
    )


def _need(choice: Choice) -> str:
    if choice.cells < 2:
        return "One run a setting says nothing about chance: run at least 4 prompts with 2 seeds each."
    if choice.prompts == 1:
        more = choice.more_seeds
        if more is None:
            return f"Not even {MOST} seeds would decide it; and one prompt says little about others."
        return (
            f"About {more} more {_plural('seed', more)} would ({choice.more_runs} runs), "
            "for this one prompt; other prompts would say more."
        )
    ways = []
    if choice.more_prompts is not None:
        prompts = f"{choice.more_prompts} more {_plural('prompt', choice.more_prompts)}"
        ways.append(f"{prompts} x {choice.seeds} {_plural('seed', choice.seeds)} ({choice.more_runs} runs)")
    if choice.more_seeds is not None:
        ways.append(f"{choice.more_seeds} more {_plural('seed', choice.more_seeds)} for each prompt")
    if not ways:
        return f"Not even {MOST} prompts would decide it: take them as equal."
    return f"About {', or '.join(ways)} would, if the lead is as large as it looks."


def _cheapest(choice: Choice) -> str:
    """Of settings that cannot be told apart the cheapest is a good answer."""
    tied = [choice.table[0], *(row for row in choice.table[1:] if row.tied)]
    timed = [row for row in tied if "seconds" in row.metrics]
    if len(tied) < 2 or len(timed) < len(tied):
        return ""
    best = min(timed, key=lambda row: row.metrics["seconds"][0].mean)
    return f" Of the {len(tied)} that cannot be told apart, {label(best.axes)} is the fastest{_cost(best)}."


def _cost(row: TableRow) -> str:
    parts = [f"{digits(row.metrics['seconds'][0].mean)} s"] if "seconds" in row.metrics else []
    if row.peak_allocated_gib is not None:
        parts.append(f"{digits(row.peak_allocated_gib)} GiB")
    return f", {' and '.join(parts)} a run" if parts else ""


def _tally(choice: Choice) -> str:
    return "; ".join(f"{label(item.axes)}: {item.reason}" for item in choice.excluded[:3]) + (
        f"; and {len(choice.excluded) - 3} more" if len(choice.excluded) > 3 else ""
    )


def _percent(share: float) -> str:
    return f"{math.floor(share * 1000) / 10:g} %"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def columns(choice: Choice) -> list[str]:
    """Metrics worth a column: the objective, the constraints' metrics, and what is always of interest."""
    present = {name for row in choice.table for name in row.metrics}
    asked = [condition.name for condition in choice.query.where]
    wanted = dict.fromkeys([choice.objective, *asked, *SHOWN_METRICS])
    return [*(name for name in wanted if name in present and name != "seconds"), "seconds"]


def markdown(choice: Choice) -> str:
    """The whole answer as Markdown."""
    names = columns(choice)
    axes = list(choice.table[0].axes) if choice.table else []
    lines = [f"**{choice.sentence}**", ""]
    if choice.table:
        head = ["", *axes, *names, "peak GiB", f"leader's lead in {choice.objective}", "Pareto"]
        lines += [_line(head), _line(["---"] * len(head))]
        for index, row in enumerate(choice.table):
            lines.append(_line(_cells(row, index, names, choice)))
    if choice.excluded:
        lines += ["", "Left out:", ""]
        lines += [f"- {_escaped(label(item.axes))}: {_escaped(item.reason)}" for item in choice.excluded]
    if choice.notes:
        lines += ["", "Notes:", "", *[f"- {_escaped(note)}" for note in choice.notes]]
    return "\n".join(lines) + "\n"


def _cells(row: TableRow, index: int, names: list[str], choice: Choice) -> list[str]:
    mark = ("best" if choice.decisive else "leads") if index == 0 else ("tied" if row.tied else "")
    figures = [figure(row, name, choice.objective) for name in names]
    behind = bounded(row.behind) if row.behind else ""
    pareto = "yes" if row.pareto else ""
    return [mark, *map(plain, row.axes.values()), *figures, digits(row.peak_allocated_gib), behind, pareto]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _escaped(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def to_json(choice: Choice) -> dict[str, Any]:
    """The contract of `pick --json`; NaN bounds are null."""
    goal = "maximize" if choice.query.maximize else "minimize"
    return {
        "recommended": choice.recommended,
        "confidence": choice.confidence,
        "decisive": choice.decisive,
        "sentence": choice.sentence,
        "objective": {"metric": choice.objective, "goal": goal},
        "constraints": choice.query.constraints(),
        "prompts": choice.prompts,
        "seeds": choice.seeds,
        "more": {"prompts": choice.more_prompts, "seeds": choice.more_seeds, "runs": choice.more_runs},
        "table": [_json_row(row) for row in choice.table],
        "excluded": [{**item.axes, "reason": item.reason} for item in choice.excluded],
        "notes": list(choice.notes),
    }


def _json_row(row: TableRow) -> dict[str, Any]:
    metrics = {name: {**_json_estimate(value), "n": n} for name, (value, n) in row.metrics.items()}
    return {
        **row.axes,
        **metrics,
        "peak_allocated_gib": row.peak_allocated_gib,
        "behind": _json_estimate(row.behind) if row.behind else None,
        "p": row.p,
        "tied": row.tied,
        "pareto": row.pareto,
        "run_id": row.run_id,
    }


def _json_estimate(estimate: Estimate) -> dict[str, float | None]:
    bounds = (("mean", estimate.mean), ("low", estimate.low), ("high", estimate.high))
    return {name: None if math.isnan(value) else value for name, value in bounds}
