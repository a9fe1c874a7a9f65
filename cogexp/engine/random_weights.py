"""Full-size modules with random weights, in seconds: built without memory, then filled from one small pool.

torch's own initialisation draws every number of 10 billion one after the other, minutes on a CPU. Here 16
million numbers are drawn once and repeated, each tensor from another place: what a step costs and holds does
not depend on it, and the same numbers come out on every device.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from accelerate import init_empty_weights
from torch import Tensor, nn

SEED = 0
POOL = 16_777_213  # prime: no two tensors of a model begin at the same number
STRIDE = 1_299_709  # prime, too


def random_module(make: Callable[[], nn.Module], dtype: torch.dtype, device: str) -> nn.Module:
    """What `make` constructs, in `dtype` on `device`: matrices uniform within 1/sqrt(inputs), gains 1, the
    rest 0. Buffers are those of the constructor, where they are floating in `dtype`.
    """
    previous = torch.get_default_dtype()
    try:
        torch.set_default_dtype(dtype)
        with init_empty_weights(include_buffers=False):
            module = make()
    finally:
        torch.set_default_dtype(previous)
    if hasattr(module, "tie_weights"):
        module.tie_weights()  # without memory every name got a tensor of its own
    draw = torch.Generator("cpu").manual_seed(SEED)
    pool = torch.empty(POOL, device="cpu").uniform_(-1, 1, generator=draw).to(device, dtype)
    made: dict[nn.Parameter, nn.Parameter] = {}
    for part in module.modules():
        for name, empty in part._parameters.items():
            if empty is None:
                continue
            if empty not in made:
                start = len(made) * STRIDE % POOL
                made[empty] = nn.Parameter(_filled(empty, name, pool, start), requires_grad=False)
            part._parameters[name] = made[empty]
        for name, buffer in part._buffers.items():
            if buffer is not None:  # as from_pretrained leaves them: in the module's dtype
                part._buffers[name] = buffer.to(device, dtype if buffer.is_floating_point() else None)
    return module


@torch.no_grad()
def _filled(empty: Tensor, name: str, pool: Tensor, start: int) -> Tensor:
    """A tensor of this shape on the pool's device."""
    if empty.dim() < 2:
        make = torch.ones if name == "weight" else torch.zeros
        return make(empty.shape, dtype=pool.dtype, device=pool.device)
    made = torch.empty(empty.shape, dtype=pool.dtype, device=pool.device)
    flat, bound, at = made.view(-1), float(empty[0].numel()) ** -0.5, 0
    while at < flat.numel():
        piece = pool[start : start + flat.numel() - at]
        torch.mul(piece, bound, out=flat[at : at + piece.numel()])
        at, start = at + piece.numel(), 0
    return made
