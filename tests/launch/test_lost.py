"""The record of a job whose process died."""

from __future__ import annotations

from pathlib import Path

from cogexp.launch.lost import record_lost
from cogexp.study import load
from tests.launch.jobs import by_seed, finish, requests


def test_it_is_a_failure_that_the_study_counts(tmp_path: Path) -> None:
    (request,) = requests(tmp_path, 1, study="s")
    record = record_lost(request, "killed by signal 9", status="oom")
    assert by_seed(tmp_path)[0] == record
    (row,) = load(tmp_path, "s").rows
    assert (row.status, row.error) == ("oom", "run: killed by signal 9")


def test_a_run_that_had_finished_stays_finished(tmp_path: Path) -> None:
    (request,) = requests(tmp_path, 1)
    finish(request)
    assert record_lost(request, "died on its way out").status == "ok"
    assert by_seed(tmp_path)[0].status == "ok"
