"""VBench's formulas, sharpness, exposure and CLIP-IQA: closed cases and independent formulas."""

import numpy as np
import pytest

from cogexp.metrics import measure
from cogexp.metrics.consistency import vbench_consistency
from tests.metrics.clips import pan, texture


class Colours:
    """A stand-in network whose features can be worked out by hand: the mean colour of a frame."""

    name = "colours"

    def embed_images(self, frames):
        return frames.reshape(len(frames), -1, 3).mean(1).astype(np.float32) + 1e-3

    def embed_text(self, text):
        return np.array({"Good photo.": [1, 0, 0], "Bad photo.": [0, 1, 0]}[text], np.float32), ""


def solid(*colours) -> np.ndarray:
    return np.stack([np.full((64, 96, 3), colour, np.uint8) for colour in colours])


@pytest.mark.parametrize(
    ("name", "kind"), [("subject_consistency", "dino"), ("background_consistency", "clip")]
)
def test_consistency_is_vbenchs_formula(name, kind):
    frames = solid((250, 10, 0), (200, 90, 0), (90, 90, 90), (10, 20, 250))
    found = measure(frames, 8, None, [name], networks={kind: Colours()})
    features = [f / np.linalg.norm(f) for f in Colours().embed_images(frames).astype(float)]
    expected = []  # VBench: first and former image, clamped at 0, averaged
    for i in range(1, 4):
        to_former = max(0.0, float(features[i] @ features[i - 1]))
        to_first = max(0.0, float(features[i] @ features[0]))
        expected.append((to_former + to_first) / 2)
    assert found.per_frame[name] == pytest.approx(expected, abs=1e-5)
    assert found.scores[name] == pytest.approx(np.mean(expected), abs=1e-5)
    assert found.notes[name] == "colours"


def test_negative_cosines_count_as_zero_and_a_still_clip_as_one():
    assert vbench_consistency(np.array([[1, 0], [-1, 0]], np.float32)).tolist() == [0.0]
    assert vbench_consistency(np.array([[0, 1], [0, 1]], np.float32)).tolist() == [1.0]


def test_clip_iqa_is_the_softmax_of_the_two_prompts():
    found = measure(
        solid((255, 0, 0), (0, 255, 0), (128, 128, 0)), 8, None, ["clip_iqa"], networks={"clip": Colours()}
    )
    assert found.per_frame["clip_iqa"] == pytest.approx([1, 0, 0.5], abs=1e-3)


def test_sharpness_is_the_variance_of_the_laplacian():
    board = np.indices((288, 512)).sum(0) % 2 * 100
    frames = np.repeat(board[None, ..., None], 3, axis=3).astype(np.uint8)
    # inside: 4 neighbours of the other colour, so the Laplacian is +-400 around a mean of 0
    assert measure(frames, 8, None, ["sharpness"]).scores["sharpness"] == pytest.approx(160_000, rel=0.02)
    assert measure(solid((90, 90, 90)), 8, None, ["sharpness"]).scores["sharpness"] == 0.0


def test_exposure_counts_clipped_pixels():
    frame = np.full((1, 288, 512, 3), 120, np.uint8)
    frame[:, :72] = 255
    frame[:, 72:144, :256] = 0
    assert measure(frame, 8, None, ["exposure"]).scores["exposure"] == pytest.approx(0.375)


class Shift:
    """A stand-in for RAFT that knows the pan."""

    name = "known"

    def __init__(self, step):
        self.step = step

    def flow(self, first, second):
        sign = (
            -1 if np.abs(first[0, :, self.step :].astype(int) - second[0, :, : -self.step]).mean() < 1 else 1
        )
        flow = np.zeros((*first.shape[:3], 2), np.float32)
        flow[..., 0] = sign * self.step
        return flow


def test_warp_error_with_a_plugged_flow_is_zero_for_the_pan_that_it_knows():
    found = measure(pan(5, frames=3), 8, None, ["warp_error_raft"], networks={"raft": Shift(5)})
    assert found.scores["warp_error_raft"] == pytest.approx(0, abs=0.05)  # the smoothing at the edge
    assert found.notes["warp_error_raft"] == "flow: known"


def test_torchvisions_raft_keeps_the_size_of_odd_frames():
    import torch
    from torchvision.models.optical_flow import raft_large

    from cogexp.metrics.flow_networks import RaftNetwork

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = RaftNetwork(name="seeded", model=raft_large(weights=None).eval())
    frames = texture(164, 131)[None]
    assert network.flow(frames, frames).shape == (1, 131, 164, 2)


class Halfway:
    name = "mean"

    def between(self, first, second):
        return ((first.astype(int) + second) // 2).astype(np.uint8)


def test_motion_smoothness_is_vbenchs_formula():
    frames = solid((0, 0, 0), (60, 60, 60), (100, 100, 100), (100, 100, 100), (100, 100, 100))
    found = measure(frames, 8, None, ["motion_smoothness"], networks={"interpolator": Halfway()})
    assert found.per_frame["motion_smoothness"] == pytest.approx([245 / 255, 1.0])
    short = measure(frames[:2], 8, None, ["motion_smoothness"], networks={"interpolator": Halfway()})
    assert short.skipped["motion_smoothness"] == "needs three frames"


def test_without_its_weights_each_is_skipped_with_a_reason(monkeypatch, tmp_path):
    import huggingface_hub
    import torch

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    names = ["subject_consistency", "warp_error_raft", "motion_smoothness"]
    found = measure(pan(1, frames=3), 8, None, names)
    assert all(found.scores[name] is None for name in names)
    assert "fetch metrics=all" in found.skipped["subject_consistency"]
    assert "fetch metrics=all" in found.skipped["warp_error_raft"]
    assert "plug one in" in found.skipped["motion_smoothness"]
