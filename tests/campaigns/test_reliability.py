"""Short forms of the campaigns: a few attempts each, in a process of its own that may fork."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.campaigns import power_cuts
from tools.campaigns.harness import ROOT, environment


def summary(name: str, folder: Path, *words: str, **extra: str) -> dict[str, Any]:
    """What the campaign counted."""
    done = subprocess.run(
        [sys.executable, "-m", f"tools.campaigns.{name}", "--folder", str(folder), *words],
        cwd=ROOT, env=environment(**extra), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr[-3000:]
    text = done.stdout[done.stdout.rindex('{\n "campaign"') :]
    return {**json.loads(text), "stderr": done.stderr}


def test_kills_lose_nothing(tmp_path: Path) -> None:
    found = summary("kills", tmp_path, "--count", "3")
    assert found["faults"] == {}, found["stderr"][-3000:]
    assert found["attempts"] == 3


def test_three_processes_make_one_run(tmp_path: Path) -> None:
    found = summary("trios", tmp_path, "--only", "3")  # equal process ids, one of them killed
    assert found["faults"] == {}, found["stderr"][-3000:]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Skip where no image can be mounted."""
    image = tmp_path / "try.img"
    with image.open("wb") as file:
        file.truncate(4 * 2**20)
    try:
        power_cuts.call("mkfs.ext4", "-q", "-F", image)
        with power_cuts.disk(image, tmp_path / "try", power_cuts.OPTIONS):
            pass
    except power_cuts.Unusable as problem:
        pytest.skip(f"no image can be mounted here: {problem}")
    return tmp_path / "campaign"


def test_power_cuts_leave_no_false_ok(disk: Path) -> None:
    found = summary("power_cuts", disk, "--count", "2")
    assert found["faults"] == {}, found["stderr"][-3000:]


@pytest.mark.slow
def test_the_campaign_of_power_cuts_sees_what_is_not_flushed(disk: Path) -> None:
    """A test of the test: with every flush left out it must find records without their files."""
    found = summary("power_cuts", disk, "--count", "10", **{power_cuts.UNSAFE: "1"})
    assert found["faults"]
