"""MagCache's calibration: how the size of the transformer's residual changes from step to step.

MagCache (arXiv:2506.09045) skips a step when the product of these ratios says that the last residual is still
about right. They depend on model, sampler and size, hardly on prompt and seed; nobody publishes them for
CogVideoX. Here they are measured in one exact clip of a fixed prompt and kept.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cogexp.storage.foreign_data import ForeignDataError, read_json
from cogexp.whole import write_whole

CALIBRATION_TEXT = "a dog runs through a meadow, the camera follows"


@contextmanager
def recorded_ratios(transformer: Any) -> Iterator[list[float]]:
    """A list that holds one ratio a step after the block: mean over tokens of |r_t| / |r_(t-1)|, 1 at first.

    The residual r is what all blocks add to the video tokens: (b, n, d). Inside the block the transformer is
    to be called once a step.
    """
    ratios: list[float] = []
    blocks = transformer.transformer_blocks
    entered: list[Tensor] = []
    previous: list[Tensor] = []

    def enter(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        entered[:] = [kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]]

    def leave(_: Any, __: Any, output: tuple[Tensor, Tensor]) -> None:
        size = torch.linalg.vector_norm((output[0] - entered.pop()).float(), dim=-1)
        ratios.append((size / (previous.pop() + 1e-8)).mean().item() if previous else 1.0)
        previous.append(size)

    handles = [
        blocks[0].register_forward_pre_hook(enter, with_kwargs=True),
        blocks[-1].register_forward_hook(leave),
    ]
    try:
        yield ratios
    finally:
        for handle in handles:
            handle.remove()


def read(file: Path) -> list[float] | None:
    """The ratios of an earlier calibration, or None when there is none that can be read and is whole."""
    try:
        kept = read_json(file)
        ratios = kept["ratios"]
    except (OSError, ForeignDataError, KeyError, TypeError):
        return None
    if not isinstance(ratios, list) or not all(
        isinstance(one, float) and 0 < one < math.inf for one in ratios
    ):
        return None
    # A file of an earlier version has no digest.
    return ratios if kept.get("digest", wanted := _digest(ratios)) == wanted else None


def write(file: Path, ratios: list[float], about: dict[str, Any]) -> None:
    """Keep the ratios with what they were measured on; whole or not at all."""
    kept = {**about, "ratios": ratios, "digest": _digest(ratios)}
    write_whole(file, json.dumps(kept, indent=1, allow_nan=False))


def _digest(ratios: list[float]) -> str:
    return hashlib.sha256(json.dumps(ratios).encode()).hexdigest()
