"""Several processes that train together: one message each way, the same step in all of them."""

from __future__ import annotations

import os
import socket

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from cogexp.nano.training import ranks
from cogexp.nano.training.muon import Muon

SHAPES = ((6, 4), (3, 8), (5, 5))


def _parameters(seed):
    """Weights that are the same everywhere, gradients of a process's own."""
    weights = torch.Generator().manual_seed(0)
    grads = torch.Generator().manual_seed(seed)
    parameters = [torch.nn.Parameter(torch.randn(shape, generator=weights)) for shape in SHAPES]
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=grads)
    return parameters


def _stepped(parameters, world):
    Muon([{"params": parameters, "lr": 0.1, "orthogonal": True}], world).step()
    return [parameter.detach() for parameter in parameters]


def _process(rank, port, folder):
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    world = ranks.join()
    agreed = world.agree(10.5 + rank)
    parameters = _parameters(seed=1 + rank)
    world.average_gradients(parameters)
    grads = [parameter.grad.clone() for parameter in parameters]
    world.wait()
    torch.save(
        {"agreed": agreed, "grads": grads, "after": _stepped(parameters, world)}, folder / f"{rank}.pt"
    )
    dist.destroy_process_group()


def test_two_processes_take_one_step(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_process, (port, tmp_path), nprocs=2)
    one, two = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert one["agreed"] == two["agreed"] == 10.5
    mine, theirs = _parameters(seed=1), _parameters(seed=2)
    for parameter, other in zip(mine, theirs, strict=True):
        parameter.grad = (parameter.grad + other.grad) / 2
    expected = {"grads": [p.grad.clone() for p in mine], "after": _stepped(mine, ranks.World())}
    for name, tensors in expected.items():
        for a, b, tensor in zip(one[name], two[name], tensors, strict=True):
            assert torch.equal(a, b)
            torch.testing.assert_close(a, tensor)


def test_alone_nothing_is_sent():
    world = ranks.World()
    parameters = _parameters(seed=1)
    before = [p.grad.clone() for p in parameters]
    world.average_gradients(parameters)
    world.wait()
    assert world.agree(2.0) == 2.0
    assert all(torch.equal(p.grad, b) for p, b in zip(parameters, before, strict=True))
