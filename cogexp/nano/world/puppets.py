"""Drawing one animal in one pose: chains of circles in painter's order, with soft outlines and a light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, hypot, sin

import cv2
import numpy as np

from cogexp.nano.world.animals import BUILDS, Build, Spot
from cogexp.nano.world.palette import COATS, LIGHTS, mix, scaled
from cogexp.nano.world.poses import Foot, Pose
from cogexp.nano.world.shapes import Colour, Image, canvas, chain

# The canvas of a puppet, in units: x from -LEFT to RIGHT, y from -BELOW to ABOVE.
LEFT, RIGHT, ABOVE, BELOW = 2.1, 2.3, 2.9, 0.25
Part = tuple[Sequence[Spot], Sequence[float], Colour]
PINK: Colour = (236, 150, 150)
DARK: Colour = (34, 30, 40)
BONE: Colour = (250, 242, 222)
ANTLER: Colour = (176, 132, 86)


@dataclass(frozen=True, kw_only=True)
class Coat:
    """The colours of one animal: main, far (limbs on the other side), light (belly, muzzle), line."""

    main: Colour
    far: Colour
    light: Colour
    line: Colour


def coat_of(colour: str) -> Coat:
    """Shades of a named coat colour."""
    main = COATS[colour]
    if colour == "black":
        return Coat(main=main, far=(38, 38, 50), light=(124, 124, 140), line=(18, 18, 28))
    light = mix(main, (255, 250, 240), 0.62)
    return Coat(main=main, far=scaled(main, 0.72), light=light, line=scaled(main, 0.50))


class Puppet:
    """A picture under construction: parts in units, painted group by group."""

    def __init__(self, unit_px: float, line: Colour) -> None:
        self.unit_px = unit_px
        self.line = line
        self.image: Image = canvas(round((LEFT + RIGHT) * unit_px), round((ABOVE + BELOW) * unit_px))

    def paint(self, *parts: Part, outline: float = 0.035) -> None:
        """Paint parts as one group: first a common outline, then the fills, so no line runs inside."""
        for points, radii, _ in parts if outline else ():
            chain(
                self.image,
                self._px(points),
                [r * self.unit_px for r in radii],
                self.line,
                outline * self.unit_px,
            )
        for points, radii, colour in parts:
            chain(self.image, self._px(points), [r * self.unit_px for r in radii], colour)

    def _px(self, points: Sequence[Spot]) -> list[Spot]:
        return [((x + LEFT) * self.unit_px, (ABOVE - y) * self.unit_px) for x, y in points]


def draw(animal: str, colour: str, pose: Pose, time: str, unit_px: float) -> tuple[Image, Spot]:
    """One animal, facing right: premultiplied RGBA, cropped, and where its feet's middle lies in it (pixels).

    Drawn at twice the size and reduced, because cv2's own edges are a little hard.
    """
    coat = coat_of(colour)
    puppet = Puppet(unit_px * 2, coat.line)
    if animal == "bird":
        from cogexp.nano.world.bird import draw_bird

        draw_bird(puppet, coat, pose)
    else:
        _quadruped(puppet, BUILDS[animal], coat, pose)
    x, y, width, height = cv2.boundingRect(puppet.image[..., 3])
    # Even corners and sizes: halves must fall on whole pixels.
    x, y, width, height = x - x % 2, y - y % 2, width + 2 + x % 2, height + 2 + y % 2
    cropped = puppet.image[y : y + height, x : x + width]
    half = (max(cropped.shape[1] // 2, 1), max(cropped.shape[0] // 2, 1))
    image = cv2.resize(cropped[: half[1] * 2, : half[0] * 2], half, interpolation=cv2.INTER_AREA)
    return _lit(image, time, unit_px), (LEFT * unit_px - x / 2, ABOVE * unit_px - y / 2)


def _lit(image: Image, time: str, unit_px: float) -> Image:
    """Shade from above, the light of the time of day, and a rim of light on upper edges."""
    light = LIGHTS[time]
    alpha = image[..., 3].astype(np.float32)
    ramp = np.linspace(1.16, 0.80, image.shape[0], dtype=np.float32)[:, None, None]
    gain = 1 + (np.asarray(light.gain, np.float32) - 1) * light.animal
    lift = np.asarray(light.lift, np.float32) * light.animal / 255
    rgb = image[..., :3] * (gain * ramp) + lift * alpha[..., None]
    drop = max(round(unit_px * 0.06), 1)
    rim = alpha.copy()
    rim[drop:] = np.maximum(rim[drop:] - alpha[:-drop], 0)
    rim = (cv2.blur(rim, (3, 3)) * alpha * (light.rim_strength / 255**2))[..., None]
    rgb += (np.asarray(light.rim, np.float32) - rgb) * rim
    image[..., :3] = np.minimum(rgb, alpha[..., None])
    return image


def _turn(spot: Spot, pivot: Spot, angle: float, rise: float) -> Spot:
    x, y = spot[0] - pivot[0], spot[1] - pivot[1]
    return (pivot[0] + x * cos(angle) - y * sin(angle), pivot[1] + x * sin(angle) + y * cos(angle) + rise)


def _leg(root: Spot, length: float, foot: Foot, build: Build, bend: float, colour: Colour) -> list[Part]:
    """Thigh, shin and paw. The foot goes below the root; `bend` pushes the knee forward (+) or back (-)."""
    upper, lower = build.legs
    fx, fy = root[0] + foot[0] * length, max(root[1] - length + foot[1] * length, 0.0) + lower * 0.8
    knee = ((root[0] + fx) / 2 + bend * length * (0.10 + 0.5 * foot[1]), (root[1] + fy) / 2)
    return [
        ((root, knee, (fx, fy)), (upper, (upper + lower) * 0.52, lower), colour),
        (((fx, fy), (fx + lower * 0.9, fy - lower * 0.05)), (lower, lower * 0.85), colour),
    ]


def _quadruped(puppet: Puppet, build: Build, coat: Coat, pose: Pose) -> None:
    from cogexp.nano.world.details import body_details, head_parts, tail_parts

    skeleton = Skeleton.of(build, pose)
    near, far = ("main", "far")
    puppet.paint(*tail_parts(build, coat, skeleton))
    if not pose.lying:
        puppet.paint(*_legs(build, coat, pose, skeleton, far))
    head_parts(puppet, build, coat, skeleton, behind=True)
    trunk: list[Part] = [
        (
            (skeleton.hip, skeleton.belly, skeleton.chest),
            (build.hip[2], build.belly, build.chest[2]),
            coat.main,
        ),
        ((skeleton.chest, skeleton.head), (build.neck * 1.15, build.neck), coat.main),
    ]
    puppet.paint(*trunk)
    body_details(puppet, build, coat, skeleton)
    if pose.lying:
        puppet.paint(*_folded_legs(build, coat, skeleton))
    else:
        puppet.paint(*_legs(build, coat, pose, skeleton, near), outline=0.022)
        # Cover the leg's outline where it enters the body.
        for root, radius in ((skeleton.hip, build.hip[2]), (skeleton.chest, build.chest[2])):
            puppet.paint(((root, root), (radius * 0.80, radius * 0.80), coat.main), outline=0.0)
    head_parts(puppet, build, coat, skeleton, behind=False)


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """Where the joints are in this pose, in units."""

    hip: Spot
    belly: Spot
    chest: Spot
    head: Spot
    angle: float
    lying: bool

    @classmethod
    def of(cls, build: Build, pose: Pose) -> Skeleton:
        """Standing builds are pitched about their belly; lying ones come down to the ground, head on paws."""
        if pose.lying:
            breath = 1 + 2 * pose.bob
            hip = (build.hip[0] * 0.9, build.hip[2] * breath)
            chest = (build.chest[0] * 0.9, build.chest[2] * 0.92 * breath)
            reach = max(hypot(build.head[0] - build.chest[0], build.head[1] - build.chest[1]), build.chest[2])
            # A long neck stays half up; the others rest their heads on their paws.
            rise = 0.62 if reach > 0.8 else 0.0
            head = (chest[0] + reach * (0.95 - 0.5 * rise), max(build.head[2] * 0.95, 0.24) + reach * rise)
            angle = 0.0
        else:
            pivot = (0.0, (build.hip[1] + build.chest[1]) / 2)
            angle = pose.pitch
            hip = _turn(build.hip[:2], pivot, angle, pose.bob)
            chest = _turn(build.chest[:2], pivot, angle, pose.bob)
            head = _turn(build.head[:2], pivot, angle, pose.bob)
        belly = ((hip[0] + chest[0]) / 2, (hip[1] + chest[1]) / 2)
        return cls(hip=hip, belly=belly, chest=chest, head=head, angle=angle, lying=pose.lying)


def _legs(build: Build, coat: Coat, pose: Pose, skeleton: Skeleton, side: str) -> list[Part]:
    colour = coat.main if side == "main" else coat.far
    front, hind = (pose.feet[0], pose.feet[2]) if side == "main" else (pose.feet[1], pose.feet[3])
    shift = 0.0 if side == "main" else 0.10
    chest = (skeleton.chest[0] + 0.02 + shift, skeleton.chest[1] - build.chest[2] * 0.30)
    hip = (skeleton.hip[0] - 0.02 + shift, skeleton.hip[1] - build.hip[2] * 0.20)
    parts = _leg(chest, chest[1], front, build, -0.35, colour) + _leg(hip, hip[1], hind, build, 0.40, colour)
    if "socks" in build.details:
        parts = [(points, radii, DARK if len(points) == 2 else c) for points, radii, c in parts]
    return parts


def _folded_legs(build: Build, coat: Coat, skeleton: Skeleton) -> list[Part]:
    lower = build.legs[1]
    hip, chest = skeleton.hip, skeleton.chest
    haunch = build.hip[2] * 0.74
    return [
        (((hip[0] + 0.05, haunch), (hip[0] + 0.10, haunch)), (haunch, haunch * 0.95), coat.main),
        (((hip[0] + 0.05, lower), (hip[0] + 0.50, lower)), (lower * 1.1, lower), coat.main),
        (((chest[0], lower * 1.2), (chest[0] + 0.62, lower)), (lower * 1.2, lower), coat.main),
    ]
