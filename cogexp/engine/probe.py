"""What shows that a flag took hold: every flag is applied, then asked for; silence is an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


class OptimizationError(RuntimeError):
    """A flag was accepted by the library and changed nothing, or cannot work on this device."""


def took_hold(flag: str, held: bool) -> None:
    """Raise OptimizationError unless the probe of `flag` found what it should."""
    if not held:
        raise OptimizationError(
            f"optimization.{flag} was accepted and changed nothing with the installed libraries; leave it out"
        )


def hooked(module: nn.Module, hook: str) -> int:
    """How many submodules carry diffusers' hook of this name."""
    registries = (getattr(part, "_diffusers_hook", None) for part in module.modules())
    return sum(registry is not None and registry.get_hook(hook) is not None for registry in registries)


def stored_bytes(module: nn.Module) -> int:
    """Bytes of all parameters as they are stored: a quantized tensor counts its integers and its scales."""
    return sum(_bytes(parameter.data) for parameter in module.parameters())


def _bytes(tensor: torch.Tensor) -> int:
    if type(tensor) is not torch.Tensor and hasattr(tensor, "__tensor_flatten__"):
        parts = [getattr(tensor, name) for name in tensor.__tensor_flatten__()[0]]
        return sum(_bytes(part) for part in parts)
    return tensor.numel() * tensor.element_size()


class Operations(TorchDispatchMode):
    """Counts the operations that run inside the block, by name ('aten::mm')."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and count it."""
        name = func._schema.name
        self.counts[name] = self.counts.get(name, 0) + 1
        return func(*args, **(kwargs or {}))


@contextmanager
def counted_calls(modules: list[nn.Module]) -> Iterator[list[int]]:
    """A list whose only item is how often any of `modules` was called inside the block."""
    calls = [0]

    def count(*_: Any) -> None:
        calls[0] += 1

    handles = [module.register_forward_pre_hook(count) for module in modules]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
