"""Heads, tails and markings of the four-legged animals: what makes a wolf a wolf."""

from __future__ import annotations

from math import cos, sin
from typing import TYPE_CHECKING

from cogexp.nano.world.animals import Build, Spot
from cogexp.nano.world.palette import mix
from cogexp.nano.world.puppets import ANTLER, BONE, DARK, PINK, Coat, Part, Skeleton

if TYPE_CHECKING:
    from cogexp.nano.world.puppets import Puppet

WHITE = (255.0, 255.0, 255.0)


def tail_parts(build: Build, coat: Coat, skeleton: Skeleton) -> list[Part]:
    """The tail hangs from the hip; in sleep it lies along the ground."""
    hip = skeleton.hip
    points = [(hip[0] + dx, hip[1] + dy) for dx, dy in build.tail[0]]
    if skeleton.lying and len(points) > 2:
        radius = max(build.tail[1])
        points = [
            (hip[0] - 0.10, hip[1] * 0.8),
            *((hip[0] - 0.42 - 0.20 * i, radius * (0.95 if i else 1.2)) for i in range(len(points) - 1)),
        ]
    colour = coat.light if "puff" in build.details else coat.main
    parts: list[Part] = [(points, build.tail[1], colour)]
    if "tip" in build.details:
        parts.append(
            (points[-2:], (build.tail[1][-2] * 0.75, build.tail[1][-1]), mix(coat.light, WHITE, 0.6))
        )
    return parts


def body_details(puppet: Puppet, build: Build, coat: Coat, skeleton: Skeleton) -> None:
    """Light belly, chest fur, a deer's spots."""
    hip, belly, chest = skeleton.hip, skeleton.belly, skeleton.chest
    if not skeleton.lying and "trunk" not in build.details:
        y = build.belly * 0.78
        spots = (
            (hip[0] + 0.25, hip[1] - y * 0.92),
            (belly[0], belly[1] - y),
            (chest[0] - 0.05, chest[1] - y),
        )
        puppet.paint((spots, (0.03, build.belly * 0.17, build.belly * 0.20), coat.light), outline=0.0)
    if "chest" in build.details and not skeleton.lying:
        bib = (
            (chest[0] + build.chest[2] * 0.52, chest[1] - build.chest[2] * 0.25),
            (skeleton.head[0] * 0.45 + chest[0] * 0.55 + 0.12, skeleton.head[1] * 0.45 + chest[1] * 0.55),
        )
        puppet.paint((bib, (build.chest[2] * 0.42, build.neck * 0.62), coat.light), outline=0.0)
    if "spots" in build.details:
        for i in range(5):
            share = i / 4
            x = hip[0] * (1 - share) + chest[0] * share - 0.05
            y = hip[1] * (1 - share) + chest[1] * share + 0.10 + 0.05 * (i % 2)
            puppet.paint((((x, y), (x, y)), (0.035, 0.035), coat.light), outline=0.0)


def head_parts(puppet: Puppet, build: Build, coat: Coat, skeleton: Skeleton, *, behind: bool) -> None:
    """Far ear and antler when `behind`, else the face and what is near."""
    if behind:
        _ear(puppet, build, coat, skeleton, near=False)
        return
    head, radius = skeleton.head, build.head[2]
    muzzle = _at(skeleton, build.muzzle[0], build.muzzle[1])
    snout_colour = coat.light if {"muzzle", "cheek", "puff"} & set(build.details) else coat.main
    face: list[Part] = [((head, head), (radius, radius), coat.main)]
    if "trunk" not in build.details:
        face.append(((_at(skeleton, build.muzzle[0] * 0.4, build.muzzle[1] * 0.6), muzzle),
                     (radius * 0.66, build.muzzle[2]), coat.main))  # fmt: skip
    puppet.paint(*face)
    # The head grows out of the neck: hide the outline between them.
    puppet.paint(((_toward(head, skeleton.chest, 0.45), head), (build.neck * 0.86, radius * 0.86), coat.main),
                 outline=0.0)  # fmt: skip
    if "trunk" in build.details:
        _trunk(puppet, build, coat, skeleton)
    else:
        low = _at(skeleton, build.muzzle[0] * 0.30, build.muzzle[1] * 1.75)
        chin = _at(skeleton, build.muzzle[0] * 0.96, build.muzzle[1] * 1.28)
        puppet.paint(((low, chin), (radius * 0.40, build.muzzle[2] * 0.72), snout_colour), outline=0.0)
        nose = _at(
            skeleton, build.muzzle[0] + build.muzzle[2] * 0.80, build.muzzle[1] + build.muzzle[2] * 0.35
        )
        puppet.paint(((nose, nose), (build.nose, build.nose), DARK), outline=0.0)
    _eye(puppet, build, coat, skeleton)
    _ear(puppet, build, coat, skeleton, near=True)


def _eye(puppet: Puppet, build: Build, coat: Coat, skeleton: Skeleton) -> None:
    x, y = build.head[2] * (0.46 if "trunk" in build.details else 0.34), build.head[2] * 0.20
    if skeleton.lying:
        lid = [_at(skeleton, x + dx, y - 0.02 + dy) for dx, dy in ((-0.09, 0.03), (0.0, -0.03), (0.09, 0.03))]
        puppet.paint((lid, (0.025, 0.03, 0.025), coat.line if coat.main[0] > 60 else coat.light), outline=0.0)
        return
    spot, glint = _at(skeleton, x, y), _at(skeleton, x + build.eye * 0.3, y + build.eye * 0.35)
    pupil = _at(skeleton, x + build.eye * 0.2, y)
    puppet.paint(((spot, spot), (build.eye * 1.45, build.eye * 1.45), WHITE), outline=0.0)
    puppet.paint(((pupil, pupil), (build.eye, build.eye), DARK), outline=0.0)
    puppet.paint(((glint, glint), (build.eye * 0.33,) * 2, WHITE), outline=0.0)


def _ear(puppet: Puppet, build: Build, coat: Coat, skeleton: Skeleton, *, near: bool) -> None:
    shift = 0.0 if near else build.head[2] * 0.62
    tilt = -0.25 if skeleton.lying else 0.0
    points = [_at(skeleton, x + shift + tilt * y, y) for x, y in build.ears[0]]
    if "antlers" in build.details:
        _antler(puppet, skeleton, near=near)
    if "big ears" in build.details and not near:
        return
    puppet.paint((points, build.ears[1], coat.main if near else coat.far))
    inner = [r * (0.62 if "big ears" in build.details else 0.45) for r in build.ears[1]]
    if near:
        puppet.paint((points, inner, mix(coat.main, PINK, 0.55)), outline=0.0)


def _antler(puppet: Puppet, skeleton: Skeleton, *, near: bool) -> None:
    shift = 0.0 if near else 0.10
    beam = [_at(skeleton, x + shift, y) for x, y in ((-0.02, 0.16), (-0.16, 0.42), (-0.10, 0.74))]
    puppet.paint((beam, (0.045, 0.04, 0.025), ANTLER), outline=0.018)
    for base, tip in (((-0.15, 0.40), (0.10, 0.56)), ((-0.15, 0.52), (-0.36, 0.70))):
        tine = [_at(skeleton, base[0] + shift, base[1]), _at(skeleton, tip[0] + shift, tip[1])]
        puppet.paint((tine, (0.035, 0.022), ANTLER), outline=0.018)


def _trunk(puppet: Puppet, build: Build, coat: Coat, skeleton: Skeleton) -> None:
    if skeleton.lying:
        shape = ((0.20, -0.10), (0.52, -0.24), (0.80, -0.28), (0.98, -0.26))
    else:
        shape = ((0.24, -0.06), (0.56, -0.40), (0.62, -0.82), (0.86, -0.98))
    points = [_at(skeleton, x, y) for x, y in shape]
    tusk = [_at(skeleton, x, y) for x, y in ((0.34, -0.34), (0.52, -0.50), (0.76, -0.50))]
    puppet.paint((points, (0.30, 0.18, 0.12, 0.085), coat.main))
    puppet.paint((points[:1] * 2, (0.29, 0.29), coat.main), outline=0.0)
    if not skeleton.lying:
        puppet.paint((tusk, (0.065, 0.055, 0.02), BONE), outline=0.02)


def _at(skeleton: Skeleton, x: float, y: float) -> Spot:
    """A spot given from the head's middle, turned with the body."""
    c, s = cos(skeleton.angle), sin(skeleton.angle)
    return (skeleton.head[0] + x * c - y * s, skeleton.head[1] + x * s + y * c)


def _toward(a: Spot, b: Spot, share: float) -> Spot:
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share)
