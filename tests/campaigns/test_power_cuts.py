"""The short form of the campaign of power cuts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaigns.short import summary
from tools.campaigns import power_cuts


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
