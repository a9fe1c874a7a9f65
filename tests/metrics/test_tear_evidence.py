"""The measures that the shear detector adds up, each on pictures whose answer is known."""

import cv2
import numpy as np
import pytest

from cogexp.metrics.artifacts.across import (
    Across,
    across,
    correlated,
    goes_on_profile,
    multiplied,
    shift_profile,
    sway_profile,
)
from cogexp.metrics.artifacts.noise import shaken_rows
from cogexp.metrics.artifacts.rows import (
    LONG,
    in_pairs,
    median_of_few,
    quantile_of_few,
    sorted_rows,
    split_row,
)
from cogexp.metrics.artifacts.shear import step_excess
from cogexp.metrics.artifacts.shift import shift_errors
from cogexp.metrics.artifacts.vacated import vacated_profile
from tests import faults
from tests.metrics.clips import pan, texture

Y0, T = 171, 6
ALL = np.ones(T, bool)


@pytest.fixture(scope="module")
def moving() -> np.ndarray:
    return pan(2, T)


def luma(clip: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(clip[..., 1])


def seen(clip: np.ndarray) -> Across:
    return across(luma(clip), np.arange(len(clip) - 1))


def profile(clip: np.ndarray, gap: int = 0) -> np.ndarray:
    return shift_profile(seen(clip).gains[gap])


@pytest.mark.parametrize("shift", [-30, -7, 5, 12, 36])
def test_a_shift_explains_the_step_at_its_own_row_and_nowhere_else(moving, shift):
    evidence = profile(faults.shear(moving, ALL, Y0, 288, np.full(T, shift)))
    assert int(np.argmax(evidence)) == Y0
    assert evidence[Y0] > 0.5
    assert np.sort(evidence)[-2] < 0.1


def test_a_shift_farther_than_the_reach_and_none_at_all_explain_nothing(moving):
    assert profile(moving).max() < 0.1
    far = faults.shear(moving, ALL, Y0, 288, np.full(T, 120))
    assert profile(far)[Y0] < 0.3


def test_a_blended_line_is_seen_with_a_gap(moving):
    soft = faults.shear(moving, ALL, Y0, 288, np.full(T, 9), soft=True)
    assert int(np.argmax(profile(soft, gap=1))) in (Y0, Y0 + 1)


def test_rows_of_a_smooth_texture_go_on_and_rows_of_noise_do_not(moving):
    noise = np.random.default_rng(0).integers(0, 256, moving.shape).astype(np.uint8)
    assert np.median(goes_on_profile(seen(moving).goes_on)) > 0.7
    assert abs(np.median(goes_on_profile(seen(noise).goes_on))) < 0.1


def test_a_band_that_is_displaced_anew_in_each_frame_sways(moving):
    def sway(clip: np.ndarray) -> np.ndarray:
        return sway_profile(seen(clip).sways)

    jitter = faults.shear(moving, ALL, Y0, 288, np.array([3, -4, 6, 0, -5, 2]))
    steady = faults.shear(moving, ALL, Y0, 288, np.full(T, 6))
    assert abs(int(np.argmax(sway(jitter))) - Y0) <= 1
    assert sway(jitter)[Y0] > 0.5
    assert sway(steady)[Y0] < 0.1
    assert not sway_profile(across(luma(moving), np.arange(0)).sways).any()


@pytest.mark.parametrize("width", [40, 41])
def test_correlations_are_those_of_numpy(width):
    """Of an even and of an odd width, whose packed spectra differ."""
    rows = np.random.default_rng(1).normal(size=(2, 3, width)).astype(np.float32)
    one = cv2.dft(rows[0], flags=cv2.DFT_ROWS)
    conjugate = cv2.dft(np.roll(rows[1][:, ::-1], 1, axis=1), flags=cv2.DFT_ROWS)  # of the mirrored rows
    product, found = np.empty_like(one), np.empty_like(one)
    multiplied(one, conjugate, product)
    correlated(product, found)
    expected = [[(np.roll(a, -s) * b).sum() for s in range(width)] for a, b in zip(*rows, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_rows_shaken_one_by_one_go_on_only_when_shifted(moving):
    shaken = luma(moving).copy()
    rng = np.random.default_rng(5)
    for frame in shaken:
        for y in range(240, 288):
            frame[y] = np.roll(frame[y], rng.integers(-9, 10))
    starts = np.arange(226, 283)
    evidence = shaken_rows(across(shaken, np.arange(0)).gains[0], starts)
    assert abs(int(starts[np.argmax(evidence)]) - 240) <= 1
    assert evidence.max() > 0.3
    assert shaken_rows(seen(moving).gains[0], starts).max() < 0.05


def test_black_that_displaced_rows_leave_is_seen_at_either_side(moving):
    for shift in (6, -6):
        torn = faults.shear(moving, ALL, Y0, 288, np.full(T, shift), fill="black")
        evidence = vacated_profile(luma(torn))
        assert evidence[Y0] == pytest.approx(np.log1p(6), abs=0.2)
        assert np.flatnonzero(evidence).min() >= Y0 - 4
        assert np.flatnonzero(evidence).max() <= Y0 + 4
    assert vacated_profile(luma(faults.shear(moving, ALL, Y0, 288, np.full(T, 6)))).max() == 0


def test_bars_are_not_black_that_rows_left(moving):
    boxed = moving.copy()
    boxed[:, 240:] = 0
    assert vacated_profile(luma(boxed)).max() == 0
    assert vacated_profile(luma(moving)[:, :10]).max() == 0


def test_the_edge_of_a_panel_steps_farther_than_a_tear(moving):
    panel, torn = moving.copy(), faults.shear(moving, ALL, Y0, 288, np.full(T, 9))
    panel[:, Y0:] = 250
    assert 0.3 < step_excess(luma(torn))[Y0] < step_excess(luma(panel))[Y0]
    assert step_excess(luma(panel))[Y0] > 1


def test_the_search_finds_the_very_shift():
    still = texture()[None]
    torn = luma(faults.shear(still, np.ones(1, bool), Y0, 288, np.array([11])))
    shifts, errors = shift_errors(torn, np.array([Y0]), 0, 36)
    assert shifts[errors.mean((0, 2)).argmin()] == 11


def test_frames_are_looked_at_in_pairs_of_neighbours():
    assert in_pairs(9, 12).tolist() == list(range(9))
    picked = in_pairs(49, 12)
    assert len(picked) == 12
    assert picked[0] == 0
    assert picked[-1] == 48
    assert (np.diff(picked) == 1).sum() == 6


def test_levels_are_split_where_they_change():
    level = np.concatenate([np.full(30, 1.0), np.full(12, 3.0)]) + np.tile([0.1, -0.1], 21)
    assert split_row(level, np.arange(5, 38)) == 30


@pytest.mark.parametrize("count", range(1, 15))
def test_the_network_sorts(count):
    """Every row of zeros and ones, so any numbers (Knuth's 0-1 principle)."""
    bits = ((np.arange(2**count) >> np.arange(count)[:, None]) & 1).astype(np.float32)
    many = np.tile(bits, (1, max(1, LONG // 2**count + 1)))
    assert np.array_equal(sorted_rows(many), np.sort(many, axis=0))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_the_quick_quantile_is_the_quantile(share):
    values = np.random.default_rng(2).normal(size=(10, 30, 40)).astype(np.float32)
    np.testing.assert_allclose(quantile_of_few(values, share), np.quantile(values, share, axis=0), atol=1e-6)


@pytest.mark.parametrize("count", [7, 8, 12])
def test_the_quick_median_is_the_median(count):
    values = np.random.default_rng(count).normal(size=(count, 5, 9)).astype(np.float32)
    assert np.array_equal(median_of_few(values), np.median(values, axis=0))
