"""Runs a module on the meta device and reports what passes chosen submodules: shapes, FLOPs, parameters.

Nothing is computed by hand: shapes come from forward hooks on the real classes, FLOPs from the operators
that were dispatched, with the formulas of `torch.utils.flop_counter` (2 per multiply-add).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from cogexp.inspect.row import Row

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Submodules to watch: `pattern` is a dotted name, where `*` stands for every index.

    Shapes are read at `enter` and `leave`, submodules of the matching ones, where those are named: a block's
    own arguments may be a tuple of parts, its first projection sees what it really works on.
    """

    stage: str
    pattern: str
    note: str = ""
    enter: str = ""
    leave: str = ""


@dataclass
class Seen:
    """What passed one stop: one entry a call (a group of frames) in `inputs` and `outputs`."""

    stop: Stop
    modules: list[str]
    inputs: list[Shape] = field(default_factory=list)
    outputs: list[Shape] = field(default_factory=list)
    flops: list[int] = field(default_factory=list)
    parameters: int = 0

    def row(self, part: str, *, groups: int = 1, prefix: str = "") -> Row:
        """The table's row. With `groups` > 1 the second call stands for all later groups of frames."""
        stop, many = self.stop, len(self.modules)
        flops = [sum(self.flops[at : at + many]) for at in range(0, len(self.flops), many)]
        note = stop.note
        if groups > 1 and self.inputs[0][2] != self.outputs[0][2]:
            note = f"frames in groups: {grouped(self.inputs, groups)} become {grouped(self.outputs, groups)}"
        return Row(
            part=part,
            stage=stop.stage,
            module=f"{prefix}.{stop.pattern}".strip("."),
            input=_whole(self.inputs, groups),
            output=_whole(self.outputs, groups),
            parameters=self.parameters,
            flops=flops[0] + sum(flops[1:]) * max(groups - 1, 1),
            note=note,
        )


def _whole(calls: list[Shape], groups: int) -> Shape:
    """The shape of the whole clip (1, c, t, h, w) from the first group's and a later one's."""
    if groups == 1:
        return calls[0]
    batch, channels, first, *sides = calls[0]
    return (batch, channels, first + calls[1][2] * (groups - 1), *sides)


def grouped(calls: list[Shape], groups: int) -> str:
    """How the frames come: '9 + 5x8' is a first group of 9 and five of 8."""
    if groups == 1:
        return str(calls[0][2])
    return f"{calls[0][2]} + {groups - 1}x{calls[1][2]}"


class _Flops(TorchDispatchMode):
    """Adds up the FLOPs of every operator that has a formula."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=out)
        return out


def trace(module: nn.Module, stops: Iterable[Stop], run: Callable[[], None]) -> tuple[dict[str, Seen], int]:
    """What each stop saw while `run` called the module, by stage, and all FLOPs of the run.

    Raises:
        RuntimeError: a parameter belongs to no stop, so that the table would not add up.
    """
    found = {stop.stage: Seen(stop, _matching(module, stop.pattern)) for stop in stops}
    _share_parameters(module, found.values())
    counter = _Flops()
    handles = [handle for seen in found.values() for handle in _watch(module, seen, counter)]
    try:
        with torch.no_grad(), torch.device("meta"), counter:
            run()
    finally:
        for handle in handles:
            handle.remove()
    return found, counter.total


def _matching(module: nn.Module, pattern: str) -> list[str]:
    if not pattern:
        return [""]
    expression = re.compile(re.escape(pattern).replace(r"\*", r"\d+"))
    names = [name for name, _ in module.named_modules(remove_duplicate=False) if expression.fullmatch(name)]
    if not names:
        raise RuntimeError(f"{type(module).__name__} has no {pattern}: the installed library is another one")
    return names


def _share_parameters(module: nn.Module, found: Iterable[Seen]) -> None:
    """Every parameter counts once, for the stop that lies deepest around it."""
    owner: dict[int, tuple[int, Seen]] = {}
    for seen in found:
        for name in seen.modules:
            depth = name.count(".") + bool(name)
            for parameter in module.get_submodule(name).parameters():
                if depth >= owner.get(id(parameter), (-1, seen))[0]:
                    owner[id(parameter)] = (depth, seen)
    for name, parameter in module.named_parameters():
        if id(parameter) not in owner:
            raise RuntimeError(f"{type(module).__name__}.{name} belongs to no row of the table")
        owner[id(parameter)][1].parameters += parameter.numel()


def _watch(module: nn.Module, seen: Seen, counter: _Flops) -> list[Any]:
    """Hooks: shapes at the first and the last module of the stop, FLOPs around all of them."""
    first, last = (
        _inside(module, seen.modules[at], part) for at, part in ((0, seen.stop.enter), (-1, seen.stop.leave))
    )
    begun: list[int] = []

    def before(_: nn.Module, args: Any, kwargs: Any) -> None:
        begun.append(counter.total)

    def after(_: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
        seen.flops.append(counter.total - begun.pop())

    handles: list[Any] = []
    for name in seen.modules:
        submodule = module.get_submodule(name)
        handles.append(submodule.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(submodule.register_forward_hook(after, with_kwargs=True))
    handles.append(
        first.register_forward_pre_hook(
            lambda _, args, kwargs: seen.inputs.append(_shape((*args, *kwargs.values()))), with_kwargs=True
        )
    )
    handles.append(last.register_forward_hook(lambda _, args, out: seen.outputs.append(_shape(out))))
    return handles


def _inside(module: nn.Module, name: str, part: str) -> nn.Module:
    return module.get_submodule(f"{name}.{part}" if part else name)


def _shape(value: Any) -> Shape:
    """The shape of the first tensor of a nested value."""
    if isinstance(value, Tensor):
        return tuple(value.shape)
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, (Tensor, tuple, list)):
            return _shape(item)
    raise RuntimeError("a watched module was called without a tensor")
