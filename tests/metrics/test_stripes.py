"""Stripes on pictures whose answer is known: waves in texture, and patterns that are no fault."""

from functools import partial

import numpy as np
import pytest

from cogexp.metrics.artifacts.covered import comb, faded_from, peaks
from cogexp.metrics.artifacts.detect import DETECTORS
from cogexp.metrics.artifacts.stripes import quantile_steps, shared_steps, wave_kernel
from cogexp.metrics.artifacts.upright import (
    AROUND,
    averaged,
    neighbours,
    spectrum,
    upright_rows,
    upright_wave,
)
from tests import faults
from tests.metrics.clips import finding_of, rich_pan
from tests.metrics.edits import ticker, timeline

Y0, T = 246, 9
ALL = np.ones(T, bool)


found = partial(finding_of, "stripes")


@pytest.fixture(scope="module")
def rich() -> np.ndarray:
    return rich_pan(T)


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("drift", [0, 1])
@pytest.mark.parametrize("vertical", [False, True])
def test_weak_stripes_in_rich_texture_are_found_with_their_row(rich, vertical, drift, smooth):
    clip = faults.stripes(rich, ALL, Y0, 8, 10, vertical, drift, smooth=smooth)
    finding = found(clip)
    assert finding.raw > DETECTORS["stripes"].certain
    assert abs(finding.rows[0] - Y0) <= 3
    assert finding.rows[1] == 287
    assert max(finding.profile[: Y0 - 40]) < 0.5 * max(finding.profile)


@pytest.mark.parametrize("vertical", [False, True])
def test_stripes_in_some_frames_name_those(rich, vertical):
    hit = (np.arange(T) >= 3) & (np.arange(T) < 8)
    finding = found(faults.stripes(rich, hit, Y0, 8, 20, vertical, 0))
    assert finding.raw > DETECTORS["stripes"].certain
    assert set(finding.frames) == {3, 4, 5, 6, 7}


@pytest.mark.parametrize("vertical", [False, True])
def test_stripes_of_an_enlarged_clip_are_found(rich, vertical):
    clip = faults.upscaled(faults.stripes(rich, ALL, Y0, 6, 20, vertical, 0)[:5], 2)
    assert found(clip).raw > DETECTORS["stripes"].certain


@pytest.mark.parametrize("vertical", [False, True])
def test_a_pattern_over_the_whole_picture_is_no_band_of_stripes(rich, vertical):
    clip = faults.stripes(rich, ALL, 0, 8, 25, vertical, 0)
    assert found(clip).raw < DETECTORS["stripes"].suspect


def test_bricks_are_no_stripes(rich):
    y, x = np.mgrid[:288, :512]
    mortar = (y % 12 < 2) | ((x + 14 * (y // 12 % 2)) % 28 < 2)
    clip = np.where(mortar[None, :, :, None], 150, 0.6 * rich).astype(np.uint8)
    assert found(clip).raw < DETECTORS["stripes"].suspect


@pytest.mark.parametrize("edit", [ticker, timeline])
def test_lines_of_text_and_a_players_bar_are_no_stripes(rich, edit):
    assert found(rich).raw < DETECTORS["stripes"].usual
    assert found(edit(rich)).raw < DETECTORS["stripes"].suspect


def test_the_kernel_measures_the_amplitude_of_its_period():
    rows = np.arange(42)
    kernel = wave_kernel(42, np.array([4.0, 8.0, 16.0]))
    amplitudes = np.abs((3 * np.cos(2 * np.pi * rows / 8 + 1)) @ kernel)
    assert amplitudes == pytest.approx([0, 3, 0], abs=0.35)


def test_a_line_of_the_spectrum_has_the_amplitude_of_its_wave():
    wave = 5 * np.sin(2 * np.pi * np.arange(512) / 8) + 100
    lines = np.abs(spectrum(np.tile(wave, (2, 3, 1)).astype(np.float32)))
    assert lines[0, 0, 64] == pytest.approx(5, abs=0.05)
    assert np.delete(lines, [63, 64, 65], axis=2).max() < 0.05


def test_a_line_is_none_of_its_own_neighbours():
    size = np.ones((1, 1, 80), np.float32)
    size[0, 0, 40] = 100
    around = neighbours(size)[0, 0]
    assert around[40] == pytest.approx(1, abs=1e-3)
    assert around[40 + AROUND] > 1.5


def test_text_waves_in_its_bright_pixels_only():
    band = np.full((1, 9, 64), 20, np.uint8)
    band[:, ::2, :20] = 220
    dark, bright = quantile_steps(band)
    assert not dark.any()
    assert np.abs(bright).min() == 200


def test_a_step_counts_when_three_quarters_of_the_width_share_it():
    step = np.zeros((1, 3, 16), np.float32)
    step[0, 1, :12] = 5
    step[0, 2, :8] = 5
    assert shared_steps(step).tolist() == [0, 5, 0]


def test_strips_are_counted_from_the_bottom():
    band = np.repeat(np.arange(14, dtype=np.uint8)[None, :, None], 32, axis=2)
    assert averaged(band, 6)[0, :, 0] == pytest.approx([4.5, 10.5], abs=0.51)


def test_the_rows_that_wave_are_told_from_those_above(rich):
    clip = faults.stripes(rich, ALL, Y0, 10, 15, True, 1)[..., 1]
    row, level = upright_rows(clip, upright_wave(clip))
    assert abs(row - Y0) <= 2
    assert np.median(level[Y0:]) == pytest.approx(15 * 4 / np.pi, rel=0.1)  # fundamental of a square wave


@pytest.mark.parametrize("drift", [False, True])
@pytest.mark.parametrize("block", [2, 3, 4, 5, 8])
def test_rows_from_elsewhere_are_found_with_their_row(rich, block, drift):
    sources = np.random.default_rng(block).integers(0, Y0, (T, 21))
    clip = faults.foreign_rows(rich, ALL, Y0, block, sources if drift else sources[:1].repeat(T, 0))
    finding = found(clip)
    assert finding.raw > DETECTORS["stripes"].certain
    assert abs(finding.rows[0] - Y0) <= 2


def test_a_smear_in_blocks_is_not_named_stripes(rich):
    assert found(faults.smear(rich, ALL, Y0, True)).raw < DETECTORS["stripes"].suspect


def test_peaks_stand_out_above_the_rows_of_their_blocks():
    level = np.zeros((1, 40), np.float32)
    level[0, 3::4] = 1
    peak = peaks(level, 4)
    assert peak[0, 7:36:4] == pytest.approx(1)
    assert comb(peak, 4, 3).argmax() == 3


def test_a_cover_that_comes_gradually_begins_above_the_clear_edges():
    cover = ((np.arange(80) - 40 + 1) / 8).clip(0, 1)
    assert faded_from(np.log(1 - 0.7 * cover), 48, 4) == 40
    assert faded_from(np.log(1 - 0.7 * (np.arange(80) >= 48)), 48, 4) == 48
