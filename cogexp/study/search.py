"""What a search for the best setting looks at: its axes, and the verdict on the runs of one setting.

The words are those of `pick`: what is maximised, what must hold, how much memory and time a run may take. A
trial is one setting, run on every prompt and seed. `cogexp.study.trials` keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cogexp.study.eligible import Candidate, candidates
from cogexp.study.query import ROW_COLUMNS, Query
from cogexp.study.table import Study
from cogexp.study.where import LEVELS, Condition

if TYPE_CHECKING:
    import optuna

Value = str | int | float


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One axis of the search: `choices` without order, or numbers from `low` to `high`.

    Whole numbers where both ends are; `step` for a grid of them; `log` for scales.
    """

    name: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    whole: bool = False
    log: bool = False

    @property
    def values(self) -> list[Value] | None:
        """All of them; None when there is no end to them."""
        if self.choices:
            return list(self.choices)
        if self.step is None and not self.whole:
            return None
        step = self.step or 1
        count = int((self.high - self.low) / step + 1e-9) + 1
        return [self._number(self.low + index * step) for index in range(count)]

    def suggest(self, trial: optuna.Trial) -> Value:
        """The trial's value on this axis."""
        if self.choices:
            return str(trial.suggest_categorical(self.name, self.choices))
        if self.whole:
            step = int(self.step or 1)
            return int(trial.suggest_int(self.name, int(self.low), int(self.high), step=step, log=self.log))
        return self._number(trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log))

    def _number(self, value: float) -> Value:
        return round(value) if self.whole else float(f"{value:.4g}")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of a trial. `state`: done, pruned (ran out of memory, broke a hard limit) or failed.

    `violations` are the constraints: above 0 is broken, and by how much.
    """

    state: str
    value: float | None = None
    violations: dict[str, float] = field(default_factory=dict)
    reason: str = ""

    @property
    def feasible(self) -> bool:
        """Whether its setting may be recommended."""
        return self.state == "done" and all(value <= 0 for value in self.violations.values())


def judge(study: Study, query: Query, objective: str) -> Verdict:
    """The verdict on the runs of one setting: the mean of the objective, and how each constraint is met."""
    bad = [row for row in study.rows if row.status in ("failed", "oom", "interrupted")]
    if bad:
        worst = next((row for row in bad if row.status == "oom"), bad[0])
        return Verdict(
            state="pruned" if worst.status == "oom" else "failed", reason=worst.error or worst.status
        )
    eligible, excluded, _ = candidates(study, query, objective)
    found = eligible[0] if eligible else Candidate(axes=study.rows[0].axes, rows=study.rows)
    value = found.mean(objective)
    if value is None:
        return Verdict(state="failed", reason=excluded[0].reason if excluded else f"it has no {objective}")
    return Verdict(
        state="done",
        value=value,
        violations=violations(found, query),
        reason=excluded[0].reason if excluded else "",
    )


def broken_for_good(study: Study, query: Query) -> str:
    """Why no further run can save this setting: a limit that every run must keep is broken. '': none is."""
    found = Candidate(axes=study.rows[0].axes, rows=study.rows)
    everywhere = [condition for condition in query.where if condition.is_level]
    for condition in everywhere:
        if _violation(found, condition) > 0:
            return f"not {condition}"
    if query.max_vram_gib is not None and found.peak is not None and found.peak > query.max_vram_gib:
        return f"peak VRAM is {found.peak:.1f} GiB (max_vram {query.max_vram_gib:g})"
    return ""


def violations(found: Candidate, query: Query) -> dict[str, float]:
    """Constraint -> by how much it is broken; 0 or less where it is met."""
    amounts = {str(c): _violation(found, c) for c in query.where if c.name not in ROW_COLUMNS}
    if query.max_vram_gib is not None:
        amounts["max_vram"] = -1.0 if found.peak is None else found.peak - query.max_vram_gib
    if query.max_seconds is not None:
        seconds = found.mean("seconds")
        amounts["max_seconds"] = 1e9 if seconds is None else seconds - query.max_seconds
    return amounts


def _violation(found: Candidate, condition: Condition) -> float:
    """A level: the share of runs that break it. A number: how far its mean is over; not measured: broken."""
    detector, _, key = condition.name.rpartition(".")
    if detector and key in ("level", "kind"):
        values = [row.artifact(detector, key) for row in found.rows]
        known = [value for value in values if key == "kind" or value in LEVELS]
        broken = len(values) - len(known) + sum(not condition.holds(value) for value in known)
        return broken / len(values)
    value = found.axes[condition.name] if condition.name in found.axes else found.mean(condition.name)
    if value is None:
        return 1.0
    if condition.op in ("==", "!="):
        return 0.0 if condition.holds(value) else 1.0
    over = (float(value) - float(condition.value)) * (1 if condition.op.startswith("<") else -1)
    return max(over, 1e-9) if not condition.holds(value) else min(over, 0.0)
