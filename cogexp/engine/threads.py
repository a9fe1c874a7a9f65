"""How many threads torch computes with on a CPU, for the length of a block.

Results depend on their number in one way only: with a single thread torch takes another algorithm for 1x1
convolutions, which sums in another order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

LEAST_FOR_SAME_SUMS = 2


@contextmanager
def threads(count: int) -> Iterator[None]:
    """`count` threads inside the block."""
    before = torch.get_num_threads()
    if count == before:  # setting them makes oneDNN forget its kernels
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def same_sums() -> Iterator[None]:
    """At least two threads inside the block: a process of one thread gives the pixels of any other."""
    with threads(max(torch.get_num_threads(), LEAST_FOR_SAME_SUMS)):
        yield
