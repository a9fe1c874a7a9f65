"""Which worker gets which job: latents are made once, models stay, nothing is lost or given out twice."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from cogexp.build import Request
from cogexp.launch.schedule import Schedule
from cogexp.spec import OptimizationSpec, UpscalerSpec
from cogexp.store import Keys
from tests.launch.jobs import requests


def study(tmp_path: Path, **top: object) -> list[Request]:
    """2 models (by a flag) x 3 seeds x 2 upscalers."""
    return [
        replace(r, spec=replace(r.spec, optimization=OptimizationSpec(cache=cache), upscaler=upscaler))
        for cache in ("none", "pab")
        for r in requests(tmp_path, 3, **top)
        for upscaler in (UpscalerSpec(name="none", scale=1), UpscalerSpec(name="lanczos"))
    ]


@pytest.mark.parametrize("seed", range(20))
def test_every_job_is_given_once_and_no_latents_are_made_twice_at_once(tmp_path: Path, seed: int) -> None:
    """Two workers finishing in any order: at no time do both make the same latents."""
    draw, jobs = random.Random(seed), study(tmp_path)
    schedule, made, done = Schedule(jobs), set(), []
    while len(schedule) or schedule.running:
        for worker in (1, 2):
            if worker not in schedule.running:
                schedule.next(worker)
        making = [key for r in schedule.running.values() if (key := Keys.of(r.spec).denoise) not in made]
        assert len(making) == len(set(making))
        finished = schedule.finished(draw.choice(sorted(schedule.running)))  # type: ignore[type-var]
        made.add(Keys.of(finished.spec).denoise)
        done.append(finished.spec.run_id)
    assert sorted(done) == sorted(job.spec.run_id for job in jobs)


def test_each_worker_keeps_its_model_as_long_as_it_can(tmp_path: Path) -> None:
    schedule = Schedule(study(tmp_path))
    flags: dict[int, list[str]] = {1: [], 2: []}
    while len(schedule):
        for worker in flags:
            if (job := schedule.next(worker)) is not None:
                flags[worker].append(job.spec.optimization.cache)
        for worker in list(schedule.running):
            schedule.finished(worker)
    assert flags == {1: ["none"] * 6, 2: ["pab"] * 6}


def test_a_job_waits_for_its_latents_and_a_lost_worker_frees_it(tmp_path: Path) -> None:
    native, upscaled = study(tmp_path)[:2]
    schedule = Schedule([native, upscaled])
    assert schedule.next(1) is native
    assert schedule.next(2) is None, "its latents are being made"
    assert schedule.lost(1) is native
    assert schedule.next(2) is upscaled
    assert len(schedule) == 0


def test_without_a_store_nothing_is_waited_for(tmp_path: Path) -> None:
    native, upscaled = study(tmp_path, store_gb=0)[:2]
    schedule = Schedule([native, upscaled])
    assert schedule.next(1) is native
    assert schedule.next(2) is upscaled
