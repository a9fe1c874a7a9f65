"""How an animal holds itself: feet, pitch, height and wings at a phase of an action's cycle.

Lengths are in leg lengths (feet) or in units of the animal (bob, lift); phases run 0..1 over one cycle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, sin

Foot = tuple[float, float]
# Phases are quantized to this many per cycle, so that drawn animals can be kept and used again.
PHASES = 16


@dataclass(frozen=True, kw_only=True)
class Pose:
    """feet: (forward, lift) of front near, front far, hind near, hind far. wing: -1 down .. 1 up.

    pitch: nose up, radians.
    """

    feet: tuple[Foot, Foot, Foot, Foot]
    pitch: float = 0.0
    bob: float = 0.0
    lift: float = 0.0
    wing: float = -0.3
    lying: bool = False


def _stride(phase: float, reach: float, height: float) -> Foot:
    """A foot goes back along the ground for half a cycle, then swings forward through the air."""
    angle = 2 * pi * phase
    return (reach * cos(angle), height * max(0.0, -sin(angle)))


def _walking(phase: float) -> Pose:
    feet = tuple(_stride(phase + offset, 0.36, 0.16) for offset in (0.0, 0.5, 0.25, 0.75))
    return Pose(feet=feet, bob=0.02 * cos(4 * pi * phase), wing=-0.35)  # type: ignore[arg-type]


def _running(phase: float) -> Pose:
    feet = tuple(_stride(phase + offset, 0.80, 0.42) for offset in (0.0, 0.14, 0.52, 0.66))
    return Pose(
        feet=feet,  # type: ignore[arg-type]
        pitch=0.11 * sin(2 * pi * phase + 0.6),
        bob=0.05 + 0.07 * cos(2 * pi * phase),
        lift=0.05 * (1 + cos(2 * pi * phase)),
        wing=0.55 * sin(2 * pi * phase),
    )


def _jumping(phase: float) -> Pose:
    """Crouch, leap, land: in the air from 0.12 to 0.88 of the cycle."""
    air = min(max((phase - 0.12) / 0.76, 0.0), 1.0)
    flying = 0.0 < air < 1.0
    front = (0.62 - 0.35 * air, 0.30 if flying else 0.0)
    hind = (-0.85 + 1.15 * air, 0.18 if flying else 0.0)
    if not flying:
        front, hind = (0.12, 0.0), (0.05, 0.0)
    return Pose(
        feet=(front, (front[0] - 0.14, front[1]), hind, (hind[0] + 0.14, hind[1])),
        pitch=0.34 * (1 - 2 * air) if flying else 0.0,
        bob=-0.12 if not flying else 0.0,
        lift=1.10 * 4 * air * (1 - air),
        wing=0.7 if flying else -0.35,
    )


def _sleeping(phase: float) -> Pose:
    still = (0.0, 0.0)
    return Pose(feet=(still,) * 4, bob=0.018 * sin(2 * pi * phase), wing=-0.4, lying=True)


def _flying(phase: float) -> Pose:
    tucked = (-0.35, 0.55)
    return Pose(
        feet=(tucked,) * 4, pitch=0.05, bob=-0.07 * sin(2 * pi * phase + 0.7), wing=sin(2 * pi * phase)
    )


POSES: dict[str, Callable[[float], Pose]] = {
    "running": _running,
    "walking": _walking,
    "jumping": _jumping,
    "sleeping": _sleeping,
    "flying": _flying,
}
# Phases (of PHASES) a frame advances. Running and flying repeat every 4 frames, which is also what one
# latent frame covers; few distinct phases also mean few pictures to draw.
CADENCE: dict[str, float] = {"running": 4.0, "walking": 2.0, "jumping": 2.0, "sleeping": 0.5, "flying": 4.0}
# Units (of the animal) it travels a frame, at 8 frames a second.
SPEED: dict[str, float] = {
    "running": 0.26, "walking": 0.10, "jumping": 0.17, "sleeping": 0.0, "flying": 0.22,
}  # fmt: skip
