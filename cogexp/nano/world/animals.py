"""The animals' builds: proportions of each, in units in which a wolf's shoulder is about 1.1 high.

x runs forward, y up, the ground is y = 0. Spots are (x, y); chains are (spots, radii).
"""

from __future__ import annotations

from dataclasses import dataclass

Spot = tuple[float, float]
Mass = tuple[float, float, float]
Chain = tuple[tuple[Spot, ...], tuple[float, ...]]


@dataclass(frozen=True, kw_only=True)
class Build:
    """One quadruped. hip, chest, head: (x, y, radius). muzzle and ears are given from the head's middle."""

    hip: Mass
    chest: Mass
    belly: float
    neck: float
    head: Mass
    muzzle: Mass
    legs: tuple[float, float]
    ears: Chain
    tail: Chain
    eye: float = 0.075
    nose: float = 0.06
    # Share of the scene's animal size.
    size: float = 1.0
    # Named details that puppets.py knows how to draw.
    details: tuple[str, ...] = ()


BUILDS: dict[str, Build] = {
    "wolf": Build(
        hip=(-0.58, 0.86, 0.27), chest=(0.42, 0.90, 0.37), belly=0.27, neck=0.27,
        head=(0.92, 1.36, 0.29), muzzle=(0.36, -0.11, 0.13), legs=(0.15, 0.085),
        ears=(((-0.13, 0.15), (-0.22, 0.50)), (0.135, 0.02)),
        tail=(((-0.12, 0.08), (-0.52, -0.04), (-0.80, -0.30)), (0.12, 0.19, 0.03)),
        details=("chest", "cheek"),
    ),
    "fox": Build(
        hip=(-0.46, 0.66, 0.22), chest=(0.34, 0.69, 0.27), belly=0.20, neck=0.20,
        head=(0.74, 1.06, 0.29), muzzle=(0.38, -0.13, 0.075), legs=(0.11, 0.06),
        ears=(((-0.10, 0.14), (-0.20, 0.56)), (0.17, 0.02)),
        tail=(((-0.10, 0.06), (-0.55, 0.10), (-0.98, 0.36), (-1.20, 0.66)), (0.10, 0.24, 0.25, 0.04)),
        size=1.0, details=("chest", "cheek", "socks", "tip"),
    ),
    "rabbit": Build(
        hip=(-0.30, 0.50, 0.41), chest=(0.22, 0.52, 0.31), belly=0.34, neck=0.25,
        head=(0.52, 1.00, 0.31), muzzle=(0.19, -0.09, 0.17), legs=(0.16, 0.09),
        ears=(((-0.10, 0.20), (-0.20, 0.58), (-0.33, 0.98)), (0.085, 0.135, 0.05)),
        tail=(((-0.38, 0.04), (-0.46, 0.08)), (0.18, 0.20)), eye=0.085, nose=0.045,
        size=0.98, details=("puff", "ear lining"),
    ),
    "deer": Build(
        hip=(-0.52, 1.10, 0.27), chest=(0.40, 1.14, 0.29), belly=0.25, neck=0.165,
        head=(0.86, 1.86, 0.20), muzzle=(0.27, -0.09, 0.11), legs=(0.13, 0.055),
        ears=(((-0.12, 0.06), (-0.42, 0.20)), (0.05, 0.05)),
        tail=(((-0.24, 0.14), (-0.40, 0.20)), (0.08, 0.10)), eye=0.065, nose=0.05,
        size=0.92, details=("antlers", "spots", "chest"),
    ),
    "bear": Build(
        hip=(-0.60, 0.80, 0.45), chest=(0.42, 0.86, 0.49), belly=0.48, neck=0.40,
        head=(1.02, 1.18, 0.37), muzzle=(0.30, -0.12, 0.17), legs=(0.23, 0.185),
        ears=(((-0.14, 0.33), (-0.15, 0.36)), (0.135, 0.135)),
        tail=(((-0.42, 0.12), (-0.48, 0.14)), (0.10, 0.10)), eye=0.065, nose=0.085,
        size=0.98, details=("muzzle", "round ears"),
    ),
    "elephant": Build(
        hip=(-0.62, 1.02, 0.54), chest=(0.42, 1.08, 0.56), belly=0.55, neck=0.40,
        head=(1.04, 1.42, 0.44), muzzle=(0.26, -0.16, 0.20), legs=(0.25, 0.20),
        ears=(((-0.24, 0.12), (-0.36, -0.14)), (0.36, 0.28)),
        tail=(((-0.50, 0.16), (-0.72, -0.10), (-0.76, -0.42)), (0.05, 0.04, 0.06)), eye=0.065, nose=0.0,
        size=0.95, details=("trunk", "tusk", "big ears"),
    ),
}  # fmt: skip
# The bird is a puppet of its own; its body is (x, y, radius).
BIRD_SIZE = 0.80
ANIMAL_SIZE: dict[str, float] = {**{name: build.size for name, build in BUILDS.items()}, "bird": BIRD_SIZE}
# How far each reaches from its middle, in units: (behind, ahead, above). For spacing and for the canvas.
REACH: dict[str, tuple[float, float, float]] = {
    "wolf": (1.45, 1.50, 2.0), "fox": (1.75, 1.35, 2.0), "rabbit": (1.00, 1.10, 2.2),
    "deer": (1.10, 1.40, 2.75), "bear": (1.25, 1.65, 1.9), "elephant": (1.60, 2.15, 2.2),
    "bird": (1.50, 1.50, 2.3),
}  # fmt: skip
