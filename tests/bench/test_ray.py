"""Two Ray workers against one, on jobs that do not fight for the CPU."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

pytest.importorskip("ray")

from cogexp.build import Request
from cogexp.launch.ray_pool import Options, launch
from cogexp.terminal import Progress
from tests.launch.jobs import Said, by_seed, finish, requests

JOBS, NAP = 24, 1.0


def nap(request: Request, progress: Progress) -> None:
    time.sleep(NAP)
    finish(request)


@pytest.mark.bench
def test_two_workers_beside_one(tmp_path: Path) -> None:
    """Wall time without the start of the cluster: from the first job's start to the last one's end."""
    spent = {}
    for workers in (1, 2):
        outputs = tmp_path / str(workers)
        launch(requests(outputs, JOBS), Said(), [None] * JOBS, Options(workers=workers), work=nap)
        ends = sorted(record.finished for record in by_seed(outputs).values())
        from datetime import datetime

        first, last = (datetime.fromisoformat(end) for end in (ends[0], ends[-1]))
        spent[workers] = (last - first).total_seconds() + NAP
        assert len(ends) == JOBS
    print(f"\n{JOBS} jobs of {NAP:g} s: one worker {spent[1]:.1f} s, two {spent[2]:.1f} s")
    print(f"ratio {spent[1] / spent[2]:.2f}")
