"""Flow, warping error and flicker against closed cases and VBench's formula."""

import numpy as np
import pytest

from cogexp.metrics import EvalClip, measure
from cogexp.metrics.motion import Flow, adjacent_flow, visible, warp_errors
from tests.metrics.clips import pan, texture


def test_a_pan_of_k_px_has_a_motion_of_k_and_no_warp_error():
    found = measure(pan(3, frames=4), 8, None, ["motion_px", "warp_error"])
    assert found.scores["motion_px"] == pytest.approx(3.0, abs=0.1)
    assert found.scores["warp_error"] < 0.2
    assert found.notes == {"motion_px": "flow: dis", "warp_error": "flow: dis"}


def test_a_still_clip_does_not_move():
    found = measure(np.repeat(texture()[None], 3, axis=0), 8, None, ["fast"])
    assert found.scores["temporal_flickering"] == 1.0
    assert found.scores["warp_error"] == pytest.approx(0, abs=1e-6)
    assert found.scores["motion_px"] == pytest.approx(0, abs=1e-3)


def test_change_that_is_no_motion_is_warp_error():
    still = np.repeat(texture()[None], 2, axis=0)
    still[1] = np.clip(still[1].astype(int) + 10, 0, 255)
    assert measure(still, 8, None, ["warp_error"]).scores["warp_error"] == pytest.approx(10, abs=1.0)


def test_flickering_is_vbenchs_formula():
    frames = pan(2, frames=5)
    f = frames.astype(np.float64)  # VBench: mae of adjacent frames, then (255 - mean) / 255
    mae = [np.mean(np.abs(f[i] - f[i + 1])) for i in range(4)]
    score = measure(frames, 8, None, ["temporal_flickering"]).scores["temporal_flickering"]
    assert score == pytest.approx((255.0 - sum(mae) / 4) / 255.0, abs=1e-9)


def test_a_cut_has_no_warp_error_but_the_other_pairs_have():
    a, b = texture(seed=1), texture(seed=2)
    found = measure(np.stack([a, a, b, b]), 8, None, ["warp_error"])
    curve = found.per_frame["warp_error"]
    assert curve[0] == pytest.approx(0, abs=1e-6)
    assert curve[1] is None or curve[1] > 1
    assert found.scores["warp_error"] is not None


def test_visible_leaves_out_what_left_the_frame_and_what_disagrees():
    forward = np.zeros((8, 10, 2), np.float32)
    forward[..., 0] = 2
    seen = visible(forward, -forward)
    assert seen[:, :8].all()
    assert not seen[:, 8:].any()
    assert not visible(forward, forward).any()


def test_warp_errors_are_nan_when_nothing_is_visible():
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    away = np.full((1, 16, 16, 2), 99, np.float32)
    assert np.isnan(warp_errors(frames, Flow(forward=away, backward=away))).all()


def test_flow_is_computed_once_for_both(monkeypatch):
    from cogexp.metrics import motion

    calls = []
    monkeypatch.setattr(motion, "adjacent_flow", lambda gray: calls.append(1) or adjacent_flow(gray))
    measure(pan(1, frames=3), 8, None, ["motion_px", "warp_error"])
    assert calls == [1]


def test_one_frame_skips_what_needs_two():
    found = measure(texture()[None], 8, None, ["fast"])
    for name in ("temporal_flickering", "warp_error", "motion_px"):
        assert found.scores[name] is None
        assert found.skipped[name] == "needs two frames"


def test_measuring_a_collected_stream_equals_measuring_the_array():
    frames = pan(2, frames=6)
    clip = EvalClip.collect(iter([frames[:4], frames[4:]]), 8)
    assert measure(clip, 8, None, "fast").scores == measure(frames, 8, None, "fast").scores
