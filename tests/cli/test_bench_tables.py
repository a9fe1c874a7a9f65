"""Flags of recorded measurements."""

from __future__ import annotations

from cogexp.cli.bench_tables import flags_of
from tools.campaigns.small_study import spec_of


def test_a_later_versions_flag_is_left_out() -> None:
    plain = spec_of("none", 0).to_dict()
    plain["optimization"] |= {"cache": "pab", "a_later_flag": True}
    assert flags_of(plain) == "cache=pab"
