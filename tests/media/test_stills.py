"""Animated GIF, APNG, WebP and AVIF are clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from cogexp.media.reading import probe, read

KINDS = {
    "gif": ({"disposal": 2}, 2),
    "png": ({}, 0),
    "webp": ({"lossless": True}, 0),
    "avif": ({"quality": 100, "subsampling": "4:4:4"}, 6),
}


def pictures() -> list[np.ndarray]:
    """Flat colours in four quarters, which every frame turns on: a palette holds them exactly."""
    colours = np.array([(250, 10, 10), (10, 250, 10), (10, 10, 250), (240, 240, 240)], np.uint8)
    frames = []
    for index in range(5):
        a, b, c, d = np.roll(colours, index, axis=0)
        frame = np.empty((32, 48, 3), np.uint8)
        frame[:16, :24], frame[:16, 24:], frame[16:, :24], frame[16:, 24:] = a, b, c, d
        frames.append(frame)
    return frames


@pytest.mark.parametrize("kind", KINDS)
def test_an_animated_picture_is_a_clip(tmp_path: Path, kind: str) -> None:
    if kind == "avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    options, error = KINDS[kind]
    path = tmp_path / f"clip.{kind}"
    first, *others = [Image.fromarray(frame) for frame in pictures()]
    first.save(path, save_all=True, append_images=others, duration=40, loop=0, **options)
    found = read(path)
    assert found.fps == 25
    assert np.abs(found.frames.astype(int) - np.stack(pictures())).max() <= error
    facts = probe(path)
    assert (facts.width, facts.height, facts.frames, facts.container) == (48, 32, 5, kind)
    assert len(read(path, max_frames=2).frames) == 2


def test_what_is_transparent_is_white_and_times_of_zero_are_a_tenth_of_a_second(tmp_path: Path) -> None:
    path = tmp_path / "clip.webp"
    frames = [Image.new("RGBA", (16, 16), (255, 0, 0, alpha)) for alpha in (255, 0)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=0, lossless=True)
    found = read(path)
    assert found.fps == 10
    assert found.frames[:, 0, 0].tolist() == [[255, 0, 0], [255, 255, 255]]
