"""The bird: a round puppet with wings that beat."""

from __future__ import annotations

from cogexp.nano.world.palette import mix, scaled
from cogexp.nano.world.poses import Pose
from cogexp.nano.world.puppets import DARK, Coat, Puppet

BEAK = (246.0, 160.0, 44.0)
WHITE = (255.0, 255.0, 255.0)


def draw_bird(puppet: Puppet, coat: Coat, pose: Pose) -> None:
    """Standing birds have legs and folded wings; flying ones are long, legs tucked, wings spread."""
    aloft = pose.feet[0][1] > 0.5
    rise = pose.bob + (0.75 if aloft else 0.0 if pose.lying else 0.42)
    body = (-0.05, 0.48 + rise)
    head = (0.50, 0.86 + rise) if not aloft else (0.62, 0.70 + rise)
    if pose.lying:
        head = (0.38, 0.66 + rise)
    _wing(puppet, coat, pose, body, far=True)
    tail = ((body[0] - 0.40, body[1]), (body[0] - 1.05, body[1] + (0.06 if aloft else 0.16)))
    puppet.paint((tail, (0.20, 0.14), coat.far))
    if not aloft and not pose.lying:
        for i, foot in enumerate((pose.feet[0], pose.feet[1])):
            root = (body[0] + 0.05 - 0.14 * i, body[1] - 0.30)
            end = (root[0] + 0.5 * foot[0], 0.05 + 0.4 * foot[1])
            shin = ((root, end, (end[0] + 0.18, end[1] - 0.01)), (0.05, 0.04, 0.03), scaled(BEAK, 0.9))
            puppet.paint(shin, outline=0.02)
    puppet.paint(
        (((body[0] - 0.30, body[1]), (body[0] + 0.15, body[1] + 0.02)), (0.34, 0.43), coat.main),
        (((body[0] + 0.2, body[1] + 0.12), head), (0.34, 0.34), coat.main),
    )
    breast = ((body[0] - 0.12, body[1] - 0.18), (body[0] + 0.26, body[1] - 0.06))
    puppet.paint((breast, (0.16, 0.30), coat.light), outline=0.0)
    beak = ((head[0] + 0.27, head[1] - 0.01), (head[0] + 0.60, head[1] - 0.07))
    puppet.paint((beak, (0.125, 0.02), BEAK), outline=0.02)
    _eye(puppet, coat, head, asleep=pose.lying)
    _wing(puppet, coat, pose, body, far=False)


def _eye(puppet: Puppet, coat: Coat, head: tuple[float, float], *, asleep: bool) -> None:
    x, y = head[0] + 0.12, head[1] + 0.08
    if asleep:
        lid = ((x - 0.09, y + 0.02), (x, y - 0.04), (x + 0.09, y + 0.02))
        puppet.paint((lid, (0.025, 0.03, 0.025), coat.line if coat.main[0] > 60 else coat.light), outline=0.0)
        return
    for radius, dx, dy, colour in (
        (0.125, 0.0, 0.0, WHITE), (0.085, 0.02, 0.0, DARK), (0.03, 0.05, 0.03, WHITE),
    ):  # fmt: skip
        puppet.paint((((x + dx, y + dy),) * 2, (radius, radius), colour), outline=0.0)


def _wing(puppet: Puppet, coat: Coat, pose: Pose, body: tuple[float, float], *, far: bool) -> None:
    """Three feathers from the shoulder; `pose.wing` sweeps their tips from below to above."""
    aloft = pose.feet[0][1] > 0.5
    if far and not aloft and pose.wing < 0.2:
        return
    shoulder = (body[0] + 0.10 + (0.14 if far else 0.0), body[1] + 0.14)
    spread = 1.0 if aloft else 0.62
    for i, (back, up) in enumerate(((0.30, 1.15), (0.62, 0.92), (0.82, 0.60))):
        if pose.wing < 0.2 and not aloft:
            tip = (shoulder[0] - 0.45 - 0.14 * i, shoulder[1] - 0.12 - 0.12 * i)
        else:
            tip = (shoulder[0] - back * spread, shoulder[1] + up * pose.wing * spread + 0.05)
        tone = coat.far if far else mix(coat.main, coat.far, 0.25 + 0.3 * i)
        puppet.paint(((shoulder, tip), (0.21, 0.09), tone), outline=0.028)
