"""Whole studies with clips, pictures and curves for tests of pages: as large as wanted, made in seconds.

Clips are shared (hard links, where there are such): 500 runs cost the encoding of one clip a setting.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cogexp import record as records
from cogexp.record import Record
from cogexp.video import Writer
from tests.study.records import make_record

PROMPTS = {
    "wolves": "two wolves run through snow, camera follows",
    "markup": "<script>window.HACKED = 1</script></script><img src=x onerror='window.HACKED=1'> & a fox",
    "korean": "두 마리 늑대, 디즈니 같은 공간감, 눈 덮인 숲을 천천히 걷는다",
    "water": "a river at dusk, " + "slow ripples and reflections of pines, " * 6,
    "crowd": "a crowd crosses a street",
    "night": "a lighthouse at night",
    "pan-left": "the camera pans to the left over dunes",
    "pan-right": "the camera pans to the right over dunes",
    "texture": "wind in tall grass",
    "count": "three red balloons",
}
FRAMES, FPS = 9, 8


def scene(width: int, height: int, hue: float, frames: int = FRAMES) -> np.ndarray:
    """uint8 (t, h, w, 3): a ball that rolls over a ground below a sky."""
    y, x = np.mgrid[0:height, 0:width] / height
    clip = np.empty((frames, height, width, 3), np.float32)
    tint = 0.5 + 0.5 * np.cos(2 * np.pi * (hue + np.array([0.0, 0.33, 0.67])))
    for index in range(frames):
        sky = (0.35 + 0.5 * (1 - y))[..., None] * (0.6 + 0.4 * tint)
        ground = (0.25 + 0.1 * np.sin(40 * (x + 0.02 * index)))[..., None] * np.array([0.9, 1.0, 0.7])
        picture = np.where((y > 0.7)[..., None], ground, sky)
        centre = (width / height) * (0.15 + 0.7 * index / frames)
        ball = np.clip((0.16 - np.hypot(x - centre, y - 0.6)) * 60, 0, 1)[..., None]
        shade = 0.6 + 0.4 * np.clip(1 - 3 * np.hypot(x - centre + 0.05, y - 0.53), 0, 1)[..., None]
        clip[index] = picture * (1 - ball) + ball * shade * tint[::-1]
    return (np.clip(clip, 0, 1) * 255).astype(np.uint8)


def write_scene(file: Path, width: int, height: int, hue: float) -> Path:
    """The scene as a clip of the size, once."""
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        with Writer(file, FPS, crf=28) as writer:
            writer.write(scene(width, height, hue))
    return file


def make_study(
    outputs: Path,
    *,
    sizes: Sequence[str] = ("256x144", "512x288"),
    upscalers: Sequence[str] = ("none", "lanczos"),
    prompts: int = 2,
    seeds: int = 3,
    gains: Sequence[float] = (0.0, 1.5, 2.0, 2.5, 2.2),
    scenes: int = 2,
    seed: int = 0,
) -> list[Record]:
    """Write every combination; the last size and upscaler is out of memory at the last seed."""
    rng = np.random.default_rng(seed)
    names = list(PROMPTS)[:prompts]
    shared = outputs.parent / f".{outputs.name}-clips"
    made = []
    for (s, size), (u, upscaler), (p, prompt), number in itertools.product(
        enumerate(sizes), enumerate(upscalers), enumerate(names), range(seeds)
    ):
        failed = (s, u, number) == (len(sizes) - 1, len(upscalers) - 1, seeds - 1) and s > 0
        width, height = map(int, size.split("x"))
        score = 24.0 + gains[s] + 0.8 * u + 0.7 * p + float(rng.normal(0, 0.25))
        record = make_record(
            score,
            size=size,
            upscaler=upscaler,
            prompt=prompt,
            seed=number,
            status="oom" if failed else "ok",
            seconds=width * height / 9000,
            peak=3.0 + width * height / 40000,
        )
        record = dataclasses.replace(
            record,
            spec={**record.spec, "prompt": {**record.spec["prompt"], "text": PROMPTS[prompt]}},
            study="sizes",
        )
        if not failed:
            record = _with_clips(
                record, outputs, shared, (width, height), p % scenes, rng, torn=s > 1 and number == 0
            )
        records.write(record, outputs / "runs" / record.run_id)
        made.append(record)
    return made


def _with_clips(
    record: Record, outputs: Path, shared: Path, size: tuple[int, int], scene_index: int,
    rng: np.random.Generator, *, torn: bool,
) -> Record:  # fmt: skip
    home = outputs / "runs" / record.run_id
    home.mkdir(parents=True, exist_ok=True)
    files = {"native": "native.mp4"}
    hue, (width, height) = scene_index / 3, size
    _link(
        write_scene(shared / f"{width}-{scene_index}.mp4", width // 2, height // 2, hue), home / "native.mp4"
    )
    if record.spec["upscaler"]["name"] != "none":
        files["upscaled"] = "upscaled.mp4"
        _link(
            write_scene(shared / f"{width}-{scene_index}-up.mp4", width, height, hue), home / "upscaled.mp4"
        )
    (home / "config.yaml").write_text(f"seed: {record.spec['seed']}\n", encoding="utf-8")
    artifacts = dict(record.artifacts)
    if torn:
        from PIL import Image

        files["tear"] = "tear.png"
        Image.fromarray(scene(320, 180, hue, 1)[0][::-1]).save(home / "tear.png")
        found = {
            "level": "certain" if scene_index % 2 else "suspect",
            "kind": "shear",
            "score": 2.0,
            "rows": [232, 279],
        }
        artifacts = {side: {**found, "cause": "decoder", "detectors": {"shear": found}} for side in artifacts}
    stage = {"cached": False, "peak_allocated_gib": 2.0, "peak_reserved_gib": 2.2, "rss_gib": 1.0}
    seconds = {"encode": 0.4, "decode": 2.5, "upscale": 6.0 if "upscaled" in files else 0.0, "measure": 1.5}
    stages = {**record.stages, **{name: {**stage, "seconds": value} for name, value in seconds.items()}}
    curve = np.round(25 + rng.normal(0, 0.5, FRAMES).cumsum(), 3).tolist()
    curves = {"native/clip_score": curve, "native/motion_px": curve[::-1]}
    return dataclasses.replace(record, files=files, artifacts=artifacts, stages=stages, per_frame=curves)


def _link(original: Path, file: Path) -> None:
    file.unlink(missing_ok=True)
    try:
        os.link(original, file)
    except OSError:  # a file system without hard links
        shutil.copyfile(original, file)
