"""The same clip at another size gets the same value: the tolerances that docs/metrics.md states."""

import pytest

from cogexp.metrics import measure
from tests.metrics.clips import resized, shipped

NAMES = ["temporal_flickering", "warp_error", "motion_px"]
SIZES = {"352x192": (352, 192), "720x480": (720, 480), "x2": (1024, 576), "x4": (2048, 1152)}


@pytest.fixture(scope="module", params=["bigbuckbunny", "bikes"])
def native(request):
    frames = shipped(request.param, 5, (512, 288))
    return frames, measure(frames, 8, None, NAMES).scores


@pytest.mark.parametrize("size", SIZES)
def test_size_does_not_move_a_metric(native, size):
    frames, expected = native
    scores = measure(resized(frames, *SIZES[size]), 8, None, NAMES).scores
    assert scores["temporal_flickering"] == pytest.approx(expected["temporal_flickering"], abs=0.002)
    assert scores["warp_error"] == pytest.approx(expected["warp_error"], rel=0.08)
    assert scores["motion_px"] == pytest.approx(expected["motion_px"], rel=0.05)


@pytest.fixture(scope="module")
def networks():
    """Seeded networks of the real architectures: what is tested is the resizing, not the judgement."""
    import torch
    from torchvision.models import alexnet

    from cogexp.metrics.networks import lpips_with_backbone
    from cogexp.metrics.perceptual import LpipsNetwork

    with torch.random.fork_rng():
        torch.manual_seed(1)
        state = alexnet(weights=None).state_dict()
    return {"lpips": LpipsNetwork(name="seeded", model=lpips_with_backbone(state)), "clip": Thumbnails()}


class Thumbnails:
    """A stand-in for CLIP: 14x14 grey thumbnails of the centre crop, zero mean."""

    name = "thumbnails"

    def embed_images(self, frames):
        import cv2
        import numpy as np

        h, w = frames.shape[1:3]
        left = (w - h) // 2
        small = [
            cv2.resize(f[:, left : left + h], (14, 14), interpolation=cv2.INTER_AREA).mean(2) for f in frames
        ]
        flat = np.stack(small).reshape(len(frames), -1).astype(np.float32)
        return flat - flat.mean(1, keepdims=True)


@pytest.mark.parametrize("size", ["352x192", "x2"])
@pytest.mark.parametrize("name", ["bigbuckbunny", "bikes"])
def test_size_does_not_move_metrics_with_networks(networks, name, size):
    frames = shipped(name, 3, (512, 288))
    names = ["lpips_adjacent", "clip_consistency"]
    native = measure(frames, 8, None, names, networks=networks).scores
    scores = measure(resized(frames, *SIZES[size]), 8, None, names, networks=networks).scores
    assert scores["clip_consistency"] == pytest.approx(native["clip_consistency"], abs=0.003)
    assert scores["lpips_adjacent"] == pytest.approx(native["lpips_adjacent"], rel=0.15)
    assert native["lpips_adjacent"] > 0
