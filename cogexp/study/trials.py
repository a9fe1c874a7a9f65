"""The trials of a search on disk: open it or go on with it, give out the next trial, tell what came of it."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogexp.spec import SpecError
from cogexp.storage.foreign_data import MEGABYTE, ForeignDataError, read_text
from cogexp.study import leases
from cogexp.study.query import Query
from cogexp.study.search import Dimension, Value, Verdict
from cogexp.system.text import shortened

if TYPE_CHECKING:
    import optuna

MOST_JOURNAL_BYTES = 256 * MEGABYTE


def open_search(
    name: str, dimensions: Sequence[Dimension], query: Query, *, storage: str | Path, asked: str, trials: int
) -> optuna.Study:
    """The search `name`, new or as far as it came. A small finite space is gone through as a whole.

    `asked` is everything that must be the same when it goes on.

    Raises:
        SpecError: a search of this name was begun with other words, or the storage cannot be used.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if "://" not in str(storage) and (problem := journal_problem(Path(storage))):
        raise SpecError(
            f"storage must be a journal of Optuna, got {storage}: {problem}; nearest: another file"
        )
    try:
        found = _opened(name, query, storage, trials)
        begun = found.user_attrs.get("asked")
        if begun in (None, asked):
            found.set_user_attr("asked", asked)
            leases.take_over(found, storage)
            _enqueue_all(found, dimensions, trials)
    except _storage_errors(storage) as error:
        why = shortened(str(error) or type(error).__name__)
        raise SpecError(
            f"storage must be a file or a URL that Optuna can open, got {storage}: {why}"
        ) from None
    if begun not in (None, asked):
        raise SpecError(
            f"study {name!r} was begun with other words ({begun}), got {asked}; nearest: study={name}-2"
        )
    return found


def _opened(name: str, query: Query, storage: str | Path, trials: int) -> optuna.Study:
    import optuna

    opened = _storage(storage)
    # Seeded by how far it came: what it suggests can be repeated, and is not the same after a restart.
    known = {study.study_name: study.n_trials for study in optuna.get_all_study_summaries(opened)}
    sampler = optuna.samplers.TPESampler(seed=known.get(name, 0), n_startup_trials=min(10, trials // 3 + 1))
    direction = "maximize" if query.maximize else "minimize"
    return optuna.create_study(
        study_name=name, storage=opened, sampler=sampler, direction=direction, load_if_exists=True
    )


def _enqueue_all(found: optuna.Study, dimensions: Sequence[Dimension], trials: int) -> None:
    """Every combination of a small finite space."""
    spaces = [dimension.values for dimension in dimensions]
    if math.prod(len(values) if values else trials + 1 for values in spaces) > trials:
        return
    for combination in itertools.product(*(values or [] for values in spaces)):
        names = (dimension.name for dimension in dimensions)
        found.enqueue_trial(dict(zip(names, combination, strict=True)), skip_if_exists=True)


def journal_problem(file: Path) -> str | None:
    """Why the file is no journal that Optuna could replay; None for a good one and for none at all.

    Optuna trusts its journal: it would wait for ever at a pipe, and fail somewhere inside on other content.
    """
    try:
        text = read_text(file, max_bytes=MOST_JOURNAL_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ForeignDataError as error:
        return f"it {error}"
    if text and not text.endswith("\n"):
        return "its last line is cut off (a process was killed while it wrote); delete that line"
    for number, line in enumerate(text.splitlines(), 1):
        try:
            entry = json.loads(line)  # as Optuna does: NaN is a value there
        except (ValueError, RecursionError):
            return f"line {number} is no JSON"
        if not isinstance(entry, dict) or type(entry.get("op_code")) is not int or "worker_id" not in entry:
            return f"line {number} is no operation of a journal"
    return None


def _storage(storage: str | Path) -> Any:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    if "://" in str(storage):
        return optuna.storages.get_storage(leases.with_heartbeat(str(storage)))
    Path(storage).parent.mkdir(parents=True, exist_ok=True)
    return optuna.storages.JournalStorage(JournalFileBackend(str(storage)))


def _storage_errors(storage: str | Path) -> tuple[type[Exception], ...]:
    """What opening a storage may raise; a database has errors of its own."""
    import optuna

    # Replaying a journal whose operations do not fit together fails with whatever that leads to.
    replaying = (KeyError, TypeError, AttributeError, AssertionError, IndexError, OverflowError, RuntimeError)
    errors = (OSError, ValueError, ImportError, optuna.exceptions.OptunaError, *replaying)
    if "://" not in str(storage):
        return errors
    from sqlalchemy.exc import SQLAlchemyError

    return (*errors, SQLAlchemyError)


def finished(found: optuna.Study) -> int:
    """Trials that came to an end of their own: those of a killed process do not count."""
    from optuna.trial import TrialState

    ended = found.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
    return sum("ended" in trial.user_attrs for trial in ended)


def step(
    found: optuna.Study,
    dimensions: Sequence[Dimension],
    evaluate: Callable[[dict[str, Value]], Verdict],
    storage: str | Path,
) -> tuple[dict[str, Value], Verdict]:
    """One trial: suggest, evaluate, tell. Its runs, reason and constraints are kept with it.

    Trials of processes that are gone are given out again first.
    """
    from optuna.exceptions import UpdateFinishedTrialError

    with leases.asked(found, storage) as trial:
        values = {dimension.name: dimension.suggest(trial) for dimension in dimensions}
        trial.set_user_attr("values", values)
        verdict = evaluate(values)
        try:
            _tell(found, trial, verdict)
        except UpdateFinishedTrialError:
            reason = "this machine was away for so long that the trial was given to another process"
            verdict = Verdict(state="failed", reason=reason)
    return values, verdict


def _tell(found: optuna.Study, trial: optuna.Trial, verdict: Verdict) -> None:
    """Raises UpdateFinishedTrialError for a trial that another process has ended."""
    from optuna.trial import TrialState

    for name, amount in verdict.violations.items():
        trial.set_constraint(name, amount)
    trial.set_user_attr("reason", verdict.reason)
    trial.set_user_attr("ended", True)
    if verdict.state == "done":
        assert verdict.value is not None
        found.tell(trial, verdict.value, skip_if_finished=True)
    else:
        state = TrialState.PRUNED if verdict.state == "pruned" else TrialState.FAIL
        found.tell(trial, state=state, skip_if_finished=True)


def best(found: optuna.Study) -> optuna.trial.FrozenTrial | None:
    """The best trial that meets every constraint; None when none does."""
    try:
        return found.best_trial
    except ValueError:
        return None
