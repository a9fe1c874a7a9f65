"""Interpolation: closed cases, and torch's implementation of the same kernel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cogexp.upscale.resize import enlarge, mix, resizer
from tests.upscale.pictures import photograph


@pytest.mark.parametrize("kernel", ["bicubic", "lanczos"])
@pytest.mark.parametrize("scale", [2, 4])
def test_a_flat_picture_stays_flat_to_the_border(kernel: str, scale: int) -> None:
    flat = np.full((9, 7, 3), (3, 128, 252), np.uint8)
    large = enlarge(flat, scale, kernel)
    assert large.shape == (9 * scale, 7 * scale, 3)
    assert (large == (3, 128, 252)).all()


@pytest.mark.parametrize("kernel", ["bicubic", "lanczos"])
def test_nothing_is_shifted(kernel: str) -> None:
    """Turning the picture by 180 degrees before or after is the same: pixel centres are aligned."""
    frame = photograph(40, 50)
    large = enlarge(frame, 4, kernel).astype(int)
    turned = enlarge(np.ascontiguousarray(frame[::-1, ::-1]), 4, kernel)[::-1, ::-1]
    assert np.abs(large - turned).max() <= 1
    means = large.reshape(40, 4, 50, 4, 3).mean((1, 3))
    assert np.abs(means - frame).mean() < 2


def test_bicubic_is_keys_cubic() -> None:
    """torch's antialiased bicubic has a = -1/2 and enlarges without antialiasing: the same kernel."""
    frame = photograph(40, 50) // 2 + 64  # without overshoot, which Pillow clips between its passes
    picture = torch.from_numpy(frame).permute(2, 0, 1)[None].float()
    expected = torch.nn.functional.interpolate(picture, scale_factor=4, mode="bicubic", antialias=True)
    expected = expected.clamp(0, 255)[0].permute(1, 2, 0).numpy()
    assert np.abs(enlarge(frame, 4, "bicubic") - expected).max() <= 1.2  # and where it rounds


def test_lanczos_by_hand() -> None:
    """An edge from 0 to 255, twice as large: weights sinc(x) sinc(x/3) at quarter steps, normalised."""
    edge = np.zeros((1, 20, 3), np.uint8)
    edge[:, 10:] = 255
    large = enlarge(edge, 2, "lanczos")[0, :, 0]
    for column in range(12, 28):
        at = (column + 0.5) / 2 - 0.5
        offsets = np.arange(20) - at
        weights = np.sinc(offsets) * np.sinc(offsets / 3) * (np.abs(offsets) < 3)
        expected = (weights * edge[0, :, 0]).sum() / weights.sum()
        assert large[column] == pytest.approx(np.clip(expected, 0, 255), abs=1)


def test_mixing() -> None:
    black, white = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
    assert [int(mix(black, white, share)[0, 0, 0]) for share in (0, 0.2, 0.5, 1)] == [0, 51, 128, 255]
    frame = photograph(20, 20)
    np.testing.assert_array_equal(resizer("bicubic", 2, 1.0)(frame), enlarge(frame, 2, "lanczos"))
    half = resizer("bicubic", 2, 0.5)(frame).astype(float)
    mean = (enlarge(frame, 2, "bicubic").astype(float) + enlarge(frame, 2, "lanczos")) / 2
    assert np.abs(half - mean).max() <= 0.5
