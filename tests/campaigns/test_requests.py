"""A few attempts of the campaign: no traceback, no hang, short refusals."""

from __future__ import annotations

from pathlib import Path

from tools.campaigns import requests


def test_a_few_requests_leave_no_fault(tmp_path: Path) -> None:
    tally = requests.main(["--count", "40", "--folder", str(tmp_path)])
    assert tally.attempts == 40
    assert tally.faults == []


def test_the_campaign_sees_a_nearest_that_repeats_the_value() -> None:
    said = "cogexp: seed must be from 0 to 9, got 12; nearest: 12\n"
    assert requests.with_nearest(["seed=12"], said) == ["seed=12"]
    said = "cogexp: sampler.steps must be from 1 to 1000, got 0; nearest: 1\n"
    assert requests.with_nearest(["seed=1", "sampler.steps=0"], said) == ["seed=1", "sampler.steps=1"]
