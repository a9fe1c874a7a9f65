"""The fast CPU form of the compact network against the network itself, in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from spandrel.architectures.Compact import Compact

from cogexp.upscale import winograd, winograd_band
from cogexp.upscale.winograd import FILTER_BASIS, WinogradCompact


def network(
    scale: int = 4, convs: int = 3, features: int = 8, slopes: tuple[float, float] = (-1, 2)
) -> Compact:
    """A small compact network with random weights and PReLU slopes on both sides of 0 and 1."""
    torch.manual_seed(0)
    model = Compact(num_feat=features, num_conv=convs, upscale=scale).eval().requires_grad_(False)
    for module in model.body[1::2]:
        module.weight.uniform_(*slopes)
    return model


def truth(model: Compact, picture: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model.double()(picture.double())
    model.float()
    return result


def test_one_dimension_by_hand() -> None:
    """F(4, 3): the inverse of the points' Vandermonde matrix makes correlation out of products."""
    rng = np.random.default_rng(0)
    line, taps = torch.from_numpy(rng.normal(size=6)), torch.from_numpy(rng.normal(size=3))
    values, spare = torch.empty(6, dtype=torch.float64), torch.empty(2, dtype=torch.float64)
    for op in winograd_band.spread(line, values, spare):
        op()
    pixels = torch.empty(4, dtype=torch.float64)
    for op in winograd_band.gather(values * (FILTER_BASIS @ taps), pixels, spare):
        op()
    np.testing.assert_allclose(pixels.numpy(), np.correlate(line.numpy(), taps.numpy(), "valid"), atol=1e-12)


@pytest.mark.parametrize("size", [(32, 48), (33, 47), (30, 45), (7, 5), (1, 1), (2, 300), (300, 2)])
@pytest.mark.parametrize("scale", [2, 4])
def test_equals_the_network(size: tuple[int, int], scale: int) -> None:
    model = network(scale)
    picture = torch.rand(1, 3, *size)
    assert winograd.supported(model)
    fast = WinogradCompact(model)
    expected = truth(model, picture)
    assert expected.std() > 0.01
    assert (fast(picture) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("convs", [0, 1, 2, 5])
def test_any_depth(convs: int) -> None:
    model = network(convs=convs)
    picture = torch.rand(1, 3, 21, 18)
    assert (WinogradCompact(model)(picture) - truth(model, picture)).abs().max() < 1e-5


def test_buffers_carry_nothing_from_picture_to_picture_or_size_to_size() -> None:
    fast = WinogradCompact(network())
    first, second = torch.rand(2, 1, 3, 27, 30)
    alone = fast(first).clone()
    fast(second)
    assert torch.equal(fast(first), alone)
    fast(torch.rand(1, 3, 40, 20))
    assert torch.equal(fast(first), alone)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    model, picture = network(), torch.rand(1, 3, 90, 300)
    usual = WinogradCompact(model)(picture).clone()
    before = torch.get_num_threads()
    monkeypatch.setattr(winograd.torch, "get_num_threads", lambda: threads)
    fast = WinogradCompact(model)
    monkeypatch.undo()
    assert fast.threads == threads
    assert torch.equal(fast(picture), usual)
    assert torch.get_num_threads() == before


def test_only_its_own_kind_is_supported() -> None:
    assert not winograd.supported(torch.nn.Conv2d(3, 3, 3))
    assert not winograd.supported(Compact(act_type="relu"))
