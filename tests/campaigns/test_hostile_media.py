"""The short form of the campaign: one hostile file of each kind."""

from __future__ import annotations

from pathlib import Path

from tools.campaigns import hostile_files, hostile_media
from tools.campaigns.harness import main


def test_one_of_each_kind(tmp_path: Path) -> None:
    tally = main(
        "hostile_media",
        hostile_media.attempt,
        count=len(hostile_media.KINDS),
        description=None,
        prepare=hostile_files.prepare,
        arguments=["--folder", str(tmp_path), "--seed", "1"],
    )
    assert tally.faults == []
    assert tally.attempts == len(hostile_media.KINDS)
