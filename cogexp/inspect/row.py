"""One line of a shape table, and the sums over a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

PARTS = ("text_encoder", "vae_encoder", "transformer", "vae_decoder")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A stage that the data passes through, as it was measured on the real module.

    Shapes are those of one clip (batch 1); where a stage sees the clip in groups of frames they are of the
    whole clip and `note` says how it is grouped. `flops` counts multiplications and additions of matrix
    products, convolutions and attention in one pass at batch 1; norms and activations are left out.
    `flops_share` is the share of the part, 0..1. Parameters and FLOPs of a table add up to the part's.
    """

    part: str
    stage: str
    module: str
    input: tuple[int, ...]
    output: tuple[int, ...]
    parameters: int = 0
    flops: int = 0
    flops_share: float = 0.0
    note: str = ""


def of_part(rows: Iterable[Row], part: str) -> list[Row]:
    """The rows of one part, in the order of the data."""
    return [row for row in rows if row.part == part]


def parameters(rows: Iterable[Row]) -> int:
    """Sum of the parameters."""
    return sum(row.parameters for row in rows)


def tflops(rows: Iterable[Row]) -> float:
    """Sum of the FLOPs, in 1e12."""
    return sum(row.flops for row in rows) / 1e12
