"""The campaign of full and read-only disks in its short form, and its disk against a real error."""

from __future__ import annotations

import errno
import random
from dataclasses import replace
from pathlib import Path

import pytest

from cogexp import record as records
from cogexp.launch.execute import run_folder
from cogexp.whole import write_whole
from tests.launch.jobs import finish, requests
from tests.storage.costs import COST
from tools.campaigns import full_disk
from tools.campaigns.disk import FailingDisk
from tools.campaigns.harness import Tally

QUICK_KINDS = ("report", "pick", "export")


def test_the_disk_fails_at_each_operation_once(tmp_path: Path) -> None:
    """Each operation of writing a file fails in turn: the old text stays until the new one has its name."""
    file = tmp_path / "file.txt"
    write_whole(file, "old")
    texts: list[str] = []
    for at in range(1, 9):
        disk = FailingDisk(tmp_path, at=at, number=errno.ENOSPC, stays=True)
        with disk.injected():
            raised = None
            try:
                write_whole(file, "new")
            except OSError as error:
                raised = error.errno
        if raised is None:
            break
        assert raised == errno.ENOSPC
        texts.append(file.read_text())
        assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]
    assert texts.count("old") > 3
    assert texts == sorted(texts, key="old new".index), "the new text stays"
    assert file.read_text() == "new"


def test_reading_commands_and_reports_on_a_failing_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for request in requests(tmp_path / "base", 2):
        finish(request)
        folder = run_folder(request)
        records.write(replace(records.read(folder), stages={"denoise": COST}), folder)
    monkeypatch.chdir(tmp_path)
    tally = Tally(campaign="full_disk", seed=0)
    for index in range(6 * len(QUICK_KINDS)):
        full_disk.attempt(tally, random.Random(f"0:{index}"), tmp_path, index, QUICK_KINDS)
    assert tally.faults == []
    assert tally.outcomes["pick: no fault"] == 6, "it only reads"
    assert any(name.startswith("report: exit 2") for name in tally.outcomes)
