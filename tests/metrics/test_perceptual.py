"""LPIPS against the lpips package on the same (seeded) backbone, and the loading of torchvision's file."""

import warnings

import numpy as np
import pytest
import torch

from cogexp.metrics import measure, networks
from cogexp.metrics.perceptual import LpipsNetwork
from tests.metrics.clips import pan


@pytest.fixture(scope="module")
def backbone() -> dict:
    """A state dict with torchvision's names and shapes."""
    from torchvision.models import alexnet

    with torch.random.fork_rng():
        torch.manual_seed(3)
        return alexnet(weights=None).state_dict()


@pytest.fixture(scope="module")
def reference(backbone):
    """The package's own network, its backbone filled by its own module names: written out, no shared code."""
    import lpips

    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    where = {"slice1.0": 0, "slice2.3": 3, "slice3.6": 6, "slice4.8": 8, "slice5.10": 10}
    for name, layer in where.items():
        module = model.net.get_submodule(name)
        module.weight.data = backbone[f"features.{layer}.weight"].clone()
        module.bias.data = backbone[f"features.{layer}.bias"].clone()
    return model.eval()


def test_lpips_adjacent_is_the_package(backbone, reference):
    import lpips

    frames = pan(9, frames=5, width=160, height=96)
    network = LpipsNetwork(name="seeded", model=networks.lpips_with_backbone(backbone))
    found = measure(frames, 8, None, ["lpips_adjacent"], batch=3, height=96, networks={"lpips": network})
    with torch.no_grad():
        expected = [
            float(reference(lpips.im2tensor(frames[i]), lpips.im2tensor(frames[i + 1]))) for i in range(4)
        ]
    assert found.per_frame["lpips_adjacent"] == pytest.approx(expected, rel=1e-4)
    assert found.scores["lpips_adjacent"] == pytest.approx(np.mean(expected), rel=1e-4)
    assert min(expected) > 1e-3
    assert found.notes["lpips_adjacent"] == "seeded"


def test_a_still_clip_has_no_distance(backbone):
    network = LpipsNetwork(name="seeded", model=networks.lpips_with_backbone(backbone))
    found = measure(pan(0, frames=3), 8, None, ["lpips_adjacent"], networks={"lpips": network})
    assert found.scores["lpips_adjacent"] == 0.0


def test_building_leaves_the_global_generator_alone(backbone):
    before = torch.random.get_rng_state()
    networks.lpips_with_backbone(backbone)
    assert torch.equal(before, torch.random.get_rng_state())


def test_torchvisions_file_is_found_in_the_hub_folder(backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    networks.release()
    assert measure(pan(0, frames=2), 8, None, ["lpips_adjacent"]).scores == {"lpips_adjacent": None}
    (tmp_path / "checkpoints").mkdir()
    torch.save(backbone, networks.alexnet_path())
    assert measure(pan(0, frames=2), 8, None, ["lpips_adjacent"]).scores == {"lpips_adjacent": 0.0}
    assert networks.held() == (("lpips", "alex", "cpu"),)
    networks.release()
    assert networks.held() == ()
