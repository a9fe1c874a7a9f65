"""What a pool records of a job whose worker is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from cogexp.build import Request
from cogexp.launch.pool import Outcome, Pool
from tests.launch.jobs import Said, by_seed, requests


class Crew:
    """One worker whose jobs all end alike."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def start(self, number: int) -> str:
        return ""

    def give(self, number: int, request: Request) -> None:
        pass

    def wait(self) -> tuple[int, Outcome]:
        return 1, self.outcome

    def stop(self, number: int) -> None:
        pass


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome(problem="killed by SIGKILL", died=True), "failed"),
        (Outcome(problem="killed by SIGTERM", died=True, interrupted=True), "interrupted"),
        (Outcome(problem="killed for its memory", died=True, out_of_memory=True), "oom"),
    ],
)
def test_a_worker_that_was_asked_to_end_is_no_evidence(tmp_path: Path, outcome: Outcome, status: str) -> None:
    jobs = requests(tmp_path, 1)
    Pool(Crew(outcome), "worker", jobs, Said(), [None]).run(1)
    assert by_seed(tmp_path)[0].status == status
