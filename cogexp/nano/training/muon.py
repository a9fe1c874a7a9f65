"""The optimizer: Muon for the kernels inside a network, AdamW for everything else, in one state.

Muon (K. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) replaces the momentum of a matrix by
its nearest semi-orthogonal matrix, so that every direction of a layer learns equally fast. In probes of two
CPU-minutes it was about 0.6 dB ahead of AdamW on the VAE after as many steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from cogexp.nano.training import ranks
from cogexp.nano.training.ranks import World

if TYPE_CHECKING:
    from cogexp.nano.training.loop import Task

# Coefficients of the quintic iteration, from the same source: singular values end between 0.7 and 1.2.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
_MOMENTUM = 0.95


def orthogonalized(matrix: torch.Tensor) -> torch.Tensor:
    """About the nearest semi-orthogonal matrix (Newton-Schulz); kernels (o, i, ...) count as (o, i * ...)."""
    return orthogonalized_all([matrix])[0]


def orthogonalized_all(matrices: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """`orthogonalized` of each; those of one shape in one batch: a GPU waits for every small product."""
    done: list[torch.Tensor] = list(matrices)
    shapes: dict[torch.Size, list[int]] = {}
    for index, matrix in enumerate(matrices):
        shapes.setdefault(matrix.flatten(1).shape, []).append(index)
    for (rows, columns), members in shapes.items():
        flat = torch.stack([matrices[index].flatten(1) for index in members])
        tall = rows > columns
        result = _newton_schulz(flat.mT if tall else flat)
        for index, one in zip(members, result.mT if tall else result, strict=True):
            done[index] = one.reshape(matrices[index].shape)
    return done


def _newton_schulz(x: torch.Tensor) -> torch.Tensor:
    """(n, rows, columns), rows <= columns, in and out."""
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    # x <- q(x x') x keeps the form p x, so the iteration needs only the small square matrices p and x x'.
    gram = x @ x.mT
    eye = torch.eye(gram.shape[-1], device=gram.device, dtype=gram.dtype)
    total = eye.expand_as(gram)
    for _ in range(_ITERATIONS):
        factor = _A * eye + _B * gram + _C * gram @ gram
        total, gram = factor @ total, factor @ gram @ factor
    return total @ x


class Muon(torch.optim.Optimizer):
    """Groups with 'orthogonal': True step by Muon, the others by AdamW (betas 0.9, 0.98).

    Each group has 'lr' and 'weight_decay'. Muon's step is scaled by sqrt(max(1, rows/columns)).
    """

    def __init__(self, groups: Iterable[dict[str, Any]], world: World = World()) -> None:  # noqa: B008
        self.world = world
        super().__init__(groups, {"lr": 1e-3, "weight_decay": 0.0, "orthogonal": False})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One step of every group; parameters without a gradient stay."""
        for group in self.param_groups:
            trained = [p for p in group["params"] if p.grad is not None]
            if not trained:
                continue
            torch._foreach_mul_(trained, 1 - group["lr"] * group["weight_decay"])
            if group["orthogonal"]:
                self._muon(trained, group["lr"])
            else:
                self._adam(trained, group["lr"])

    def _muon(self, parameters: list[torch.Tensor], rate: float) -> None:
        """Each process makes every n-th update, which the others get from it."""
        owners = [index % self.world.size for index in range(len(parameters))]
        grads = [p.grad for p in parameters if p.grad is not None]
        momenta = self._states(parameters, "momentum")
        torch._foreach_lerp_(momenta, grads, 1 - _MOMENTUM)
        # Nesterov: look one step ahead.
        updates = list(torch._foreach_lerp(grads, momenta, _MOMENTUM))
        mine = [index for index, owner in enumerate(owners) if owner == self.world.rank]
        for index, update in zip(mine, orthogonalized_all([updates[i] for i in mine]), strict=True):
            updates[index] = update
        self.world.share_out(owners, updates)
        scales = [-rate * max(1.0, len(p) / p[0].numel()) ** 0.5 for p in parameters]
        torch._foreach_mul_(updates, scales)
        torch._foreach_add_(parameters, updates)

    def _adam(self, parameters: list[torch.Tensor], rate: float) -> None:
        """Those that have taken as many steps go together."""
        alike: dict[float, list[torch.Tensor]] = {}
        for parameter in parameters:
            step = self.state[parameter].setdefault("step", torch.zeros(()))
            step += 1
            alike.setdefault(step.item(), []).append(parameter)
        for count, members in alike.items():
            grads = [p.grad for p in members if p.grad is not None]
            first, second = self._states(members, "first"), self._states(members, "second")
            torch._foreach_lerp_(first, grads, 0.1)
            torch._foreach_mul_(second, 0.98)
            torch._foreach_addcmul_(second, grads, grads, 0.02)
            scales = torch._foreach_div(second, 1 - 0.98**count)
            torch._foreach_sqrt_(scales)
            torch._foreach_add_(scales, 1e-8)
            torch._foreach_addcdiv_(members, first, scales, -rate / (1 - 0.9**count))

    def _states(self, parameters: list[torch.Tensor], name: str) -> list[torch.Tensor]:
        """The parameters' tensors of this name, zeros at first."""
        for parameter in parameters:
            if name not in self.state[parameter]:
                self.state[parameter][name] = torch.zeros_like(parameter)
        return [self.state[parameter][name] for parameter in parameters]


def split(
    named: Iterable[tuple[str, nn.Parameter]], edges: Sequence[str]
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """(kernels inside the network, everything else): names that contain one of `edges` are not inside."""
    inside: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in named:
        whole = parameter.ndim > 1 and not any(edge in name for edge in edges)
        (inside if whole else rest).append(parameter)
    return inside, rest


def optimizer_of(task: Task) -> torch.optim.Optimizer:
    """Muon where the schedule says so, else AdamW; vectors (biases, norms) are not decayed.

    A group's 'gain' is its rate over the schedule's.
    """
    named = [pair for module in task.modules.values() for pair in module.named_parameters()]
    inside, rest = split(named, task.edges) if task.schedule.muon else ([], [p for _, p in named])
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": task.weight_decay, "gain": 1.0},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0, "gain": 1.0},
    ]
    peak = task.schedule.peak
    if inside:
        gain = task.schedule.muon / peak
        # Decay is a share of the rate: the larger rate would decay more.
        groups.append(
            {"params": inside, "weight_decay": task.weight_decay / gain, "gain": gain, "orthogonal": True}
        )
        return Muon(groups, ranks.join())
    return torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98), fused=task.device.type == "cuda")
