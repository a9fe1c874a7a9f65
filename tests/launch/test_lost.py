"""The record of a job whose process died."""

from __future__ import annotations

from pathlib import Path

import pytest

from cogexp import record as records
from cogexp.launch.execute import run_folder
from cogexp.launch.lost import record_lost
from cogexp.run import _alone
from cogexp.study import load
from cogexp.terminal import Silent
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


def test_a_disk_that_takes_no_record_costs_the_other_jobs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (request,) = requests(tmp_path, 1)
    (tmp_path / "runs").write_text("a file where the folder would be")
    assert record_lost(request, "killed by signal 9") is None
    assert "could not be written" in caplog.text


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (request,) = requests(tmp_path / "outputs", 1)
    folder = run_folder(request)
    (tmp_path / "outside").mkdir()
    folder.parent.mkdir(parents=True)
    folder.symlink_to(tmp_path / "outside")
    record = record_lost(request, "killed by signal 9")
    assert records.read(folder) == record
    assert not list((tmp_path / "outside").iterdir())
    folder.rename(tmp_path / "before")
    folder.symlink_to(tmp_path / "outside")
    with _alone(folder, Silent()) as (lock, problem):
        assert lock is not None
        assert problem is None
        assert lock.held()
    assert not list((tmp_path / "outside").iterdir())
