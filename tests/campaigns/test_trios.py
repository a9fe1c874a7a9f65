"""The short form of the campaign of three processes on one spec."""

from __future__ import annotations

from pathlib import Path

from tests.campaigns.short import summary


def test_three_processes_make_one_run(tmp_path: Path) -> None:
    found = summary("trios", tmp_path, "--only", "3")  # equal process ids, one of them killed
    assert found["faults"] == {}, found["stderr"][-3000:]
