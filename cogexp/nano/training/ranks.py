"""Several processes, one training: each sees its own clips, all take the same step.

On a CPU two processes of one thread get 1.5 times through as much as one process of two threads. Started as
`torchrun --nproc-per-node 2 -m cogexp.nano.train ...`; a plain call is a world of one process.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

# Others wait for the first process's evaluations and checkpoints.
_PATIENCE = timedelta(hours=1)


@dataclass(frozen=True)
class World:
    """This process's number and how many there are."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that evaluates, saves and speaks."""
        return self.rank == 0

    def agree(self, value: float) -> float:
        """The first process's value, in all of them."""
        if self.size == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64)
        dist.broadcast(shared, 0)
        return float(shared)

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            dist.barrier()

    def average_gradients(self, parameters: Sequence[torch.Tensor]) -> None:
        """Replace every gradient by its mean over the processes, in one message."""
        grads = [p.grad for p in parameters if p.grad is not None]
        if self.size == 1 or not grads:
            return
        flat = torch.cat([grad.flatten() for grad in grads])
        dist.all_reduce(flat)
        flat /= self.size
        for grad, mean in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
            grad.copy_(mean.view_as(grad))

    def share_out(self, owners: Sequence[int], tensors: Sequence[torch.Tensor]) -> None:
        """Fill every tensor with that of the process which owns it."""
        if self.size == 1:
            return
        for owner in range(self.size):
            mine = [tensor for who, tensor in zip(owners, tensors, strict=True) if who == owner]
            if mine:
                flat = torch.cat([tensor.flatten() for tensor in mine])
                dist.broadcast(flat, owner)
                for tensor, part in zip(mine, flat.split([t.numel() for t in mine]), strict=True):
                    tensor.copy_(part.view_as(tensor))


def join() -> World:
    """The world that torchrun started this process in; joined once."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size > 1 and not dist.is_initialized():
        dist.init_process_group("gloo", timeout=_PATIENCE)
    return World(int(os.environ.get("RANK", "0")), size)
