"""Quantization of loaded parts in place: no second download, and random weights take it too.

Every linear layer's weight is replaced, layer by layer, on the device where it is to compute. Biases, norms,
convolutions and embeddings stay as they are. The libraries are extras of this package.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from cogexp.engine.cast import WORDS, hide_output_layers
from cogexp.engine.probe import stored_bytes, took_hold

Replace = Callable[[nn.Linear], nn.Module]


def quantize(name: str, module: Any, how: str, flag: str, device: str) -> str:
    """Quantize the linear layers of the part `name`; return what was done, in words.

    Raises:
        OptimizationError: the library accepted it and the weights take as much room as before.
    """
    before = stored_bytes(module)
    if name == "text_encoder":
        hide_output_layers(module)
    layers = sum(type(part) is nn.Linear for part in module.modules())
    with _quiet("diffusers.quantizers", "bitsandbytes"):
        METHODS[how](module, how, device)
    after = stored_bytes(module)
    took_hold(f"{flag}={how}", layers > 0 and after < 0.75 * before)
    return f"{how}: {layers} linear layers, {after / before:.0%} of the {WORDS[name]}'s bytes"


def _torchao(module: nn.Module, how: str, device: str) -> None:
    from torchao import quantization

    configs = {
        "int8wo": quantization.Int8WeightOnlyConfig,
        "int8dq": quantization.Int8DynamicActivationInt8WeightConfig,
        "fp8wo": quantization.Float8WeightOnlyConfig,
        "fp8": quantization.Float8DynamicActivationFloat8WeightConfig,
    }
    quantization.quantize_(module, configs[how](), device=device)


def _quanto(module: nn.Module, how: str, device: str) -> None:
    from optimum import quanto

    quanto.quantize(module, weights=quanto.qint8)
    quanto.freeze(module)


def _bitsandbytes(module: nn.Module, how: str, device: str) -> None:
    from bitsandbytes import nn as bnb

    def replace(layer: nn.Linear) -> nn.Module:
        shape = (layer.in_features, layer.out_features, layer.bias is not None)
        if how == "bnb-int8":
            made = bnb.Linear8bitLt(*shape, has_fp16_weights=False, device="meta")
            made.weight = bnb.Int8Params(layer.weight.data, requires_grad=False, has_fp16_weights=False)
        else:
            made = bnb.Linear4bit(*shape, compute_dtype=layer.weight.dtype, quant_type="nf4", device="meta")
            made.weight = bnb.Params4bit(layer.weight.data.cpu(), requires_grad=False, quant_type="nf4")
        made.bias = layer.bias
        return made.to(device)  # moving is what quantizes

    _replace_linear(module, replace)


def _gguf(module: nn.Module, how: str, device: str) -> None:
    import gguf
    from diffusers.quantizers.gguf.utils import GGUFLinear, GGUFParameter

    kind = {"gguf-q8": gguf.GGMLQuantizationType.Q8_0, "gguf-q4": gguf.GGMLQuantizationType.Q4_0}[how]

    def replace(layer: nn.Linear) -> nn.Module:
        dtype = layer.weight.dtype
        packed = gguf.quants.quantize(layer.weight.detach().float().cpu().numpy(), kind)
        with torch.device("meta"):
            made = GGUFLinear(
                layer.in_features, layer.out_features, layer.bias is not None, compute_dtype=dtype
            )
        made.weight = GGUFParameter(torch.from_numpy(packed), quant_type=kind)
        made.bias = layer.bias
        return made.to(device)

    _replace_linear(module, replace)


METHODS: dict[str, Callable[[nn.Module, str, str], None]] = {
    "int8wo": _torchao,
    "int8dq": _torchao,
    "fp8wo": _torchao,
    "fp8": _torchao,
    "quanto-int8": _quanto,
    "bnb-int8": _bitsandbytes,
    "bnb-nf4": _bitsandbytes,
    "gguf-q8": _gguf,
    "gguf-q4": _gguf,
}


def _replace_linear(module: nn.Module, replace: Replace) -> None:
    """Every linear layer by what `replace` makes of it, one at a time: the old one is freed at once."""
    for part in list(module.modules()):
        for name, child in list(part.named_children()):
            if type(child) is nn.Linear:
                setattr(part, name, replace(child))


class _quiet:
    """The libraries' loggers at ERROR inside the block: they warn about optional packages of their own."""

    def __init__(self, *names: str) -> None:
        self._loggers = [logging.getLogger(name) for name in names]

    def __enter__(self) -> None:
        self._levels = [one.level for one in self._loggers]
        for one in self._loggers:
            one.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        for one, level in zip(self._loggers, self._levels, strict=True):
            one.setLevel(level)
