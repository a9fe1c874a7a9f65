"""The short form of the campaign of kills."""

from __future__ import annotations

from pathlib import Path

from tests.campaigns.short import summary


def test_kills_lose_nothing(tmp_path: Path) -> None:
    found = summary("kills", tmp_path, "--count", "3")
    assert found["faults"] == {}, found["stderr"][-3000:]
    assert found["attempts"] == 3
