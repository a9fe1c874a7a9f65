"""Two Ray workers against one, on jobs that do not fight for the CPU."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import pytest

pytest.importorskip("ray")

from collections.abc import Callable

from cogexp.build import Request
from cogexp.launch import ray_pool, workers
from cogexp.terminal import Progress
from tests.launch.jobs import Said, by_seed, finish, requests

JOBS, NAP = 24, 1.0


def nap(request: Request, progress: Progress) -> None:
    time.sleep(NAP)
    finish(request)


def no_nap(request: Request, progress: Progress) -> None:
    finish(request)


def seconds(outputs: Path, jobs: int, launch: Callable[..., None], options: object, work: object) -> float:
    """Wall time without the start of the workers: from the first job's end to the last one's."""
    launch(requests(outputs, jobs), Said(), [None] * jobs, options, work=work)
    ends = sorted(datetime.fromisoformat(record.finished) for record in by_seed(outputs).values())
    assert len(ends) == jobs
    return (ends[-1] - ends[0]).total_seconds()


@pytest.mark.bench
def test_two_workers_beside_one(tmp_path: Path) -> None:
    one, two = (
        seconds(tmp_path / str(count), JOBS, ray_pool.launch, ray_pool.Options(workers=count), nap) + NAP
        for count in (1, 2)
    )
    print(f"\n{JOBS} jobs of {NAP:g} s: one worker {one:.1f} s, two {two:.1f} s")
    print(f"ratio {one / two:.2f}")


def test_in_short_two_worker_processes_do_all_jobs(tmp_path: Path) -> None:
    """On this machine's own workers: starting a cluster is what tests/launch/test_ray.py does."""
    assert seconds(tmp_path, 4, workers.launch, workers.Options(workers=2), no_nap) >= 0
