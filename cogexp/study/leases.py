"""Who works on a trial: a lease that a dead process loses, so that its setting is given out again.

In a file, a lock beside it holds the trial; in a database, Optuna's own heartbeat does. Neither host names
nor process ids decide: two containers have both in common, and would take each other's trials for abandoned.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogexp.storage.durable import make_folder
from cogexp.storage.lock import LEASE_SECONDS, Lock

if TYPE_CHECKING:
    import optuna

HEARTBEAT_SECONDS = 10


def with_heartbeat(url: str) -> Any:
    """Optuna's storage at `url` (SQLAlchemy's), whose trials are lost when nobody renews them."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.storages.RDBStorage(
            url,
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=int(LEASE_SECONDS),
            heartbeat_stale_trial_callback=lambda study, trial: _again(study, trial.params),
        )


@contextmanager
def asked(found: optuna.Study, storage: str | Path) -> Iterator[optuna.Trial]:
    """The next trial, ours in the block; before it, those of processes that are gone are given out again.

    In a file, trials are asked for and taken over by one process at a time: one that was asked for and has
    no lock is nobody's.
    """
    if "://" in str(storage):
        from optuna.storages._heartbeat import get_heartbeat_thread

        take_over(found, storage)
        with warnings.catch_warnings():
            # Meant for Study.optimize, which ends each trial itself; here `optimize` does.
            warnings.filterwarnings("ignore", "Heartbeat of storage is supposed")
            trial = found.ask()
        with get_heartbeat_thread(trial._trial_id, found._storage):
            yield trial
        return
    with Lock(_folder(storage) / "ask.lock"):
        _take_over_in_file(found, storage)
        trial = found.ask()
        lock = _lock(storage, trial.number)
        lock.acquire()
    with closing(lock):
        yield trial


def take_over(found: optuna.Study, storage: str | Path) -> None:
    """Trials of processes that are gone are given out again."""
    import optuna

    if "://" not in str(storage):
        with Lock(_folder(storage) / "ask.lock"):
            _take_over_in_file(found, storage)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(found)


def _take_over_in_file(found: optuna.Study, storage: str | Path) -> None:
    from optuna.trial import TrialState

    for trial in found.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        lock = _lock(storage, trial.number)
        if lock.try_acquire():
            with closing(lock):
                found.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
                _again(found, trial.params)


def _again(found: optuna.Study, params: dict[str, Any]) -> None:
    """A trial that died before it had any values has none to repeat."""
    if params:
        found.enqueue_trial(params)


def _folder(storage: str | Path) -> Path:
    folder = Path(f"{storage}.trials")
    make_folder(folder)
    return folder


def _lock(storage: str | Path, number: int) -> Lock:
    return Lock(_folder(storage) / f"{number}.lock")
