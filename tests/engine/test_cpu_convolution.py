"""Convolutions in pieces against torch's own: equal bits where they are taken, torch's way elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cogexp.engine import cpu_convolution
from cogexp.engine.cpu_convolution import convolve, enlarged, pointwise

# channels in and out, frames, rows, columns: all below torch's limit for the fast algorithm
SMALL = [(64, 64, 5, 36, 64), (32, 32, 7, 45, 80), (16, 64, 4, 18, 32), (8, 24, 3, 5, 200), (4, 4, 3, 1, 1)]


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    cpu_convolution._same_in_pieces.cache_clear()
    yield
    torch.set_num_threads(before)


def layer(inputs: int, outputs: int, **options: object) -> nn.Conv3d:
    torch.manual_seed(inputs)
    return nn.Conv3d(inputs, outputs, 3, **{"padding": (0, 1, 1), **options})  # type: ignore[arg-type]


def taken_in_pieces(convolution: nn.Conv3d, frames: torch.Tensor) -> bool:
    """Whether this CPU's torch has the slow algorithm for them, whose bits the pieces have."""
    size = (frames.shape, convolution.weight.shape, convolution.padding, torch.get_num_threads())
    slow = cpu_convolution._is_slow(convolution, frames)
    return slow and cpu_convolution._same_in_pieces(*size)  # type: ignore[arg-type]


def pieces(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes that are convolved in pieces from now on, the trial included."""
    seen: list[tuple[int, ...]] = []
    original = cpu_convolution._in_pieces

    def counted(frames: torch.Tensor, *rest: object) -> torch.Tensor:
        seen.append(tuple(frames.shape))
        return original(frames, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(cpu_convolution, "_in_pieces", counted)
    return seen


@torch.no_grad()
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", SMALL, ids=str)
def test_pieces_have_the_bits_of_the_whole(
    size: tuple[int, ...], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(threads)
    inputs, outputs, *shape = size
    convolution, frames = layer(inputs, outputs), torch.randn(1, inputs, *shape)
    seen = pieces(monkeypatch)
    assert torch.equal(convolve(convolution, frames), convolution(frames))
    if taken_in_pieces(convolution, frames):
        assert len(seen) == 2, "once to try, once for the answer"


@torch.no_grad()
def test_the_size_of_the_embedded_models_middle_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    convolution, frames = layer(64, 64), torch.randn(1, 64, 5, 36, 64)
    seen = pieces(monkeypatch)
    for _ in range(3):
        convolve(convolution, frames)
    if taken_in_pieces(convolution, frames):
        assert len(seen) == 4, "tried once a process, then trusted"


@torch.no_grad()
@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (1, 16, 11, 144, 64)),  # torch itself is fast here
        ({}, (2, 16, 5, 8, 8)),
        ({"stride": 2}, (1, 16, 5, 8, 8)),
        ({"bias": False}, (1, 16, 5, 8, 8)),
        ({"groups": 2}, (1, 16, 5, 8, 8)),
        ({"padding": "same"}, (1, 16, 5, 8, 8)),
        ({"dilation": 2, "padding": 2}, (1, 16, 5, 8, 8)),
    ],
    ids=str,
)
def test_whatever_else_is_torchs(
    options: dict[str, object], shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    convolution, frames = layer(16, 16, **options), torch.randn(shape)
    seen = pieces(monkeypatch)
    assert torch.equal(convolve(convolution, frames), convolution(frames))
    assert not seen


@torch.no_grad()
def test_other_bits_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    convolution, frames = layer(16, 16), torch.randn(1, 16, 5, 8, 8)
    right = convolution(frames)
    original = cpu_convolution._in_pieces
    monkeypatch.setattr(cpu_convolution, "_in_pieces", lambda *rest: original(*rest) * (1 + 1e-6))
    assert torch.equal(convolve(convolution, frames), right)


def enlarged_by_torch(convolution: nn.Conv2d, frames: torch.Tensor) -> torch.Tensor:
    """All frames of (b, t, c, h, w) together, then (b, out, t, 2h, 2w)."""
    large = F.interpolate(frames.flatten(0, 1), scale_factor=2.0, mode="nearest")
    made: torch.Tensor = convolution(large).unflatten(0, frames.shape[:2])
    return made.movedim(2, 1)


@torch.no_grad()
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "size", [(1, 9, 16, 72, 128), (2, 4, 64, 18, 32), (1, 1, 8, 9, 5), (1, 3, 4, 2, 2)], ids=str
)
def test_frames_enlarged_one_by_one_have_the_bits_of_all_together(
    size: tuple[int, ...], threads: int
) -> None:
    torch.set_num_threads(threads)
    convolution, frames = nn.Conv2d(size[2], 12, 3, padding=1), torch.randn(size)
    made = enlarged(convolution, [frames])
    assert made.is_contiguous()
    assert torch.equal(made, enlarged_by_torch(convolution, frames))


@torch.no_grad()
def test_frames_are_enlarged_one_by_one_where_that_is_known_to_be_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cpu_convolution, "_same_alone", lambda *asked: True)
    convolution, frames = nn.Conv2d(16, 12, 3, padding=1), torch.randn(1, 5, 16, 36, 64)
    sizes: list[int] = []
    convolution.register_forward_hook(lambda module, given, made: sizes.append(len(made)))
    enlarged(convolution, [frames])
    assert sizes == [1] * 5
    sizes.clear()
    monkeypatch.setattr(cpu_convolution, "_same_alone", lambda *asked: False)
    assert torch.equal(enlarged(convolution, [frames]), enlarged_by_torch(convolution, frames))
    assert sizes[0] == 5
    for other in (nn.Conv2d(16, 12, 3, padding=1, stride=2), nn.Conv2d(16, 12, 3, padding=1, bias=False)):
        monkeypatch.setattr(cpu_convolution, "_same_alone", lambda *asked: pytest.fail("another kind"))
        assert torch.equal(enlarged(other, [frames]), enlarged_by_torch(other, frames))


@torch.no_grad()
def test_a_pointwise_convolution_sums_alike_on_any_number_of_threads() -> None:
    convolution, frames = nn.Conv3d(32, 16, 1), torch.randn(1, 32, 3, 40, 40)
    assert pointwise(convolution)
    assert not pointwise(nn.Conv3d(2, 2, (1, 1, 3)))
    made = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        made.append(convolve(convolution, frames))
        assert torch.get_num_threads() == count
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])
