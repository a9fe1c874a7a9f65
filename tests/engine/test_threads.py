"""A process of one thread gives the pixels of any other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import torch

from cogexp.engine.decode import group_decoder
from cogexp.engine.threads import same_sums, threads
from cogexp.nano import weights


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("lean", [True, False])
def test_frames_do_not_depend_on_the_number_of_threads(lean: bool) -> None:
    vae = weights.components()["vae"]
    z = torch.randn(1, 16, 3, 18, 32, generator=torch.Generator().manual_seed(0))
    made = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        made.append(group_decoder(vae, lean)(z, True))
        assert torch.get_num_threads() == count
    assert all(torch.equal(made[0], other) for other in made[1:])


def test_threads_are_those_of_before_after_the_block() -> None:
    torch.set_num_threads(1)
    with contextlib.suppress(RuntimeError), threads(3):
        assert torch.get_num_threads() == 3
        raise RuntimeError
    assert torch.get_num_threads() == 1
    with same_sums():
        assert torch.get_num_threads() == 2
    torch.set_num_threads(3)
    with same_sums():
        assert torch.get_num_threads() == 3
