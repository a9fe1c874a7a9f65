"""What a sweep is about to do: jobs, stages still to compute, expected time and disk. Runs nothing."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cogexp import machine
from cogexp import record as records
from cogexp.plan import cards
from cogexp.spec import RunSpec
from cogexp.storage.run_files import is_folder
from cogexp.store import Store
from cogexp.study.expect import Seen, disk_bytes, seconds_of, seen, store_bytes
from cogexp.study.order import STAGES, model_key, order, todo

OTHERS = ("write",)  # stages that every run has


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """`specs` are the jobs to run, in order; `seconds` of each (None: unknown); `done` were finished before.

    `counts` and `stage_seconds` are by stage over all jobs: how many times it will be computed, and how long
    that will take in all. `loads` is how often a model is loaded.
    """

    specs: tuple[RunSpec, ...]
    done: tuple[RunSpec, ...]
    asked: int
    counts: dict[str, int]
    stage_seconds: dict[str, float | None]
    seconds: tuple[float | None, ...]
    loads: int
    load_seconds: float | None
    measured_runs: int
    disk_gb: float | None
    store_gb: float
    free_gb: float

    @property
    def total_seconds(self) -> float | None:
        """Expected seconds of all jobs, one after the other; None when a stage of some is unknown."""
        known = [value for value in self.seconds if value is not None]
        return sum(known) + (self.load_seconds or 0.0) if len(known) == len(self.seconds) else None


def forecast(
    specs: Sequence[RunSpec], outputs: Path, *, device: str, store_gb: float = 20.0, force: bool = False
) -> Forecast:
    """Order the distinct `specs`, look up what is done, and say what the rest will cost."""
    distinct = list({spec.run_id: spec for spec in specs}.values())
    runs = outputs / "runs"
    done = [] if force else [spec for spec in distinct if records.is_done(runs / spec.run_id)]
    finished = {spec.run_id for spec in done}
    # All are ordered, and the done ones left out then: a second start goes on where the first one was.
    ordered = [distinct[index] for index in order(distinct) if distinct[index].run_id not in finished]
    here = machine.gpu() if device.startswith("cuda") else None
    card = cards.of_machine(here) if here else None
    known = seen(records.load_many(outputs) if is_folder(runs) else [], outputs, here.name if here else None)
    stages = [(*found, *OTHERS) for found in todo(ordered, Store(outputs / "store", store_gb))]
    costs = [
        {stage: seconds_of(spec, stage, known, card) for stage in found}
        for spec, found in zip(ordered, stages, strict=True)
    ]
    by_stage = {stage: [cost[stage] for cost in costs if stage in cost] for stage in (*STAGES, *OTHERS)}
    kept = sum(store_bytes(spec, found) for spec, found in zip(ordered, stages, strict=True)) / 1e9
    disk = disk_bytes(ordered, known)
    return Forecast(
        specs=tuple(ordered),
        done=tuple(done),
        asked=len(specs),
        counts={stage: len(values) for stage, values in by_stage.items() if values and stage != "write"},
        stage_seconds={stage: _sum(values) for stage, values in by_stage.items() if values},
        seconds=tuple(_sum(list(cost.values())) for cost in costs),
        loads=_loads(ordered),
        load_seconds=_load_seconds(ordered, known),
        measured_runs=known.runs,
        disk_gb=None if disk is None else disk / 1e9,
        store_gb=min(kept, store_gb),
        free_gb=shutil.disk_usage(_existing(outputs)).free / 1e9,
    )


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _loads(specs: Sequence[RunSpec]) -> int:
    keys = [model_key(spec) for spec in specs]
    return sum(before != key for before, key in zip([None, *keys], keys, strict=False))


def _load_seconds(specs: Sequence[RunSpec], known: Seen) -> float | None:
    keys = {model_key(spec): spec.model.name for spec in specs}
    return _sum([known.load.get(name) for name in keys.values()])


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not is_folder(folder):
        folder = folder.parent
    return folder
