"""Thresholds by leaving a source out, on scores whose outcome is known."""

import numpy as np
import pytest

from cogexp.metrics.cross_validation import BEYOND, alarmed, cross_validate, farther, thresholds
from cogexp.metrics.judged import Judged


def clip(source, raw, kind="clean", other=0.0):
    return Judged(
        kind=kind,
        source=source,
        clean=kind == "clean",
        hard=False,
        raws={"shear": raw, "seam": other},
        scores={},
        common=0.0,
        row_error=None,
        filters={},
    )


def test_an_odd_source_is_not_excused_by_its_own_clips():
    usual = [clip(f"s{i}", i / 100) for i in range(99)]
    odd = [clip("odd", 5.0), clip("odd", 6.0), clip("odd", 7.0)]
    result = cross_validate([*usual, *odd, clip("s0", 9.0, "shear"), clip("s1", 0.5, "shear")])
    # Chosen on all clips the odd ones raise the threshold; without them all three are false alarms.
    assert result.certain >= 3 / 102
    assert result.thresholds["shear"][2] >= 5.0
    assert result.found["shear"] == (0.5, 0.5)


def test_thresholds_keep_the_union_of_all_detectors_below_the_share():
    rng = np.random.default_rng(0)
    clean = [clip(f"s{i}", rng.normal(), other=rng.normal()) for i in range(400)]
    limits = thresholds(clean, 0.08)
    share = np.mean([alarmed(each, limits) for each in clean])
    assert 0.03 <= share <= 0.04
    # Two independent detectors share the allowance: each about half of it.
    assert np.mean([each.raws["shear"] > limits["shear"] for each in clean]) == pytest.approx(0.02, abs=0.005)


def test_what_is_certain_lies_beyond_what_the_clean_clips_ask_for():
    clean = [clip(f"s{i}", i / 100) for i in range(101)]
    assert farther(clean, {"shear": 1.0, "seam": 0.0})["shear"] == pytest.approx(0.9 + BEYOND * 0.1)


def test_one_source_cannot_be_left_out():
    with pytest.raises(ValueError, match="two sources"):
        cross_validate([clip("only", 0.0), clip("only", 1.0)])
