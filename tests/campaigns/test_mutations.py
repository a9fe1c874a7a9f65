"""A few attempts of the campaign: no traceback, nothing outside the folder, and it would see both."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tools.campaigns import harness, mutations
from tools.campaigns.readers import Reader

QUICK = ("load", "pick", "pick json", "pick markdown", "export", "forecast", "bench", "report")


@pytest.fixture(autouse=True)
def only_quick_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = tuple(one for one in mutations.READERS if one.name in QUICK)
    monkeypatch.setattr(mutations, "READERS", quick)


def test_a_few_damaged_files_leave_no_fault(tmp_path: Path) -> None:
    tally = mutations.main(["--count", "60", "--folder", str(tmp_path)])
    assert tally.attempts == 60
    assert tally.faults == []


def test_the_campaign_sees_a_traceback_and_a_stranger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(outputs: Path) -> int:
        print((outputs.parent / "outside" / "secret.mp4").read_text())
        (outputs.parent / "outside" / "new").write_text("x")
        raise KeyError("x")

    monkeypatch.setattr(mutations, "READERS", (Reader(name="careless", work=careless),))
    tally = mutations.main(["--count", "1", "--folder", str(tmp_path)])
    assert {fault["kind"] for fault in tally.faults} == {"traceback", "a stranger's bytes", "written outside"}


def test_attempts_repeat_from_their_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutations, "READERS", (Reader(name="nothing", work=lambda outputs: 0),))
    mutations.prepare(tmp_path)
    damaged = []
    for seed in (7, 7, 8):
        mutations.attempt(harness.Tally(campaign="mutations", seed=0), random.Random(seed), tmp_path, 0)
        damaged.append({name: (tmp_path / "outputs" / name).read_bytes() for name in list(mutations._hit)})
    assert damaged[0] == damaged[1] != damaged[2]
