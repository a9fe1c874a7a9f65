"""What editors, cameras and weather do to clips, and no fault: the hard clean ones.

(t, 288, 512, 3) uint8.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Clip = np.ndarray


def letterbox(clip: Clip) -> Clip:
    out = clip.copy()
    out[:, :34] = out[:, -34:] = 16
    return out


def soft_letterbox(clip: Clip) -> Clip:
    """Bars with an edge over three rows, as after rescaling."""
    weight = np.ones(clip.shape[1])
    weight[:33] = weight[-33:] = 0
    weight[33:36] = weight[-36:-33][::-1] = (0.25, 0.5, 0.75)
    return (clip * weight[:, None, None]).astype(np.uint8)


def subtitle(clip: Clip) -> Clip:
    out = clip.copy()
    for frame in out:
        text, place = "and then nobody said a word", (70, 268)
        cv2.putText(frame, text, place, cv2.FONT_HERSHEY_DUPLEX, 0.8, (0,) * 3, 5)
        cv2.putText(frame, text, place, cv2.FONT_HERSHEY_DUPLEX, 0.8, (240,) * 3, 2)
    return out


def lower_third(clip: Clip) -> Clip:
    out = clip.copy()
    out[:, 232:262, 20:300] = (24, 60, 140)
    for frame in out:
        cv2.putText(frame, "Prof. A. Nother", (32, 254), cv2.FONT_HERSHEY_DUPLEX, 0.7, (250,) * 3, 1)
    return out


def glass_lower_third(clip: Clip) -> Clip:
    """A band across the whole width through which the picture shows."""
    out = clip.copy()
    out[:, 228:268] = (out[:, 228:268] * 0.45 + np.array((40, 40, 60))).astype(np.uint8)
    for frame in out:
        cv2.putText(frame, "Live from the harbour", (40, 254), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (250,) * 3, 2)
    return out


def ticker(clip: Clip) -> Clip:
    out = clip.copy()
    out[:, 264:] = 20
    for i, frame in enumerate(out):
        text, place = "all the news that fits " * 3, (10 - 6 * i, 282)
        cv2.putText(frame, text, place, cv2.FONT_HERSHEY_PLAIN, 1.2, (230,) * 3, 1)
    return out


def timeline(clip: Clip) -> Clip:
    """A player's bar that moves on."""
    out = clip.copy()
    for i, frame in enumerate(out):
        frame[274:278, 16:496] = 90
        frame[274:278, 16 : 60 + 12 * i] = (230, 40, 40)
        cv2.circle(frame, (60 + 12 * i, 276), 6, (250, 250, 250), -1)
    return out


def cut(clip: Clip) -> Clip:
    return np.concatenate([clip[:6], clip[:7, ::-1, ::-1]])


def fade(clip: Clip) -> Clip:
    return (clip * np.linspace(1, 0.1, len(clip))[:, None, None, None]).astype(np.uint8)


def grain(clip: Clip) -> Clip:
    noise = np.random.default_rng(5).normal(0, 6, clip.shape)
    return np.clip(clip + noise, 0, 255).astype(np.uint8)


def water(clip: Clip) -> Clip:
    """The lower part is the upper one mirrored in waves: every row is displaced, each its own way."""
    out = clip.copy()
    shore, h, w = 190, clip.shape[1], clip.shape[2]
    depth = np.arange(1, h - shore + 1)
    x = np.arange(w)
    for i, frame in enumerate(out):
        reach = 1 + depth / 18
        sway = reach * np.sin(depth / (2 + depth / 14) - 0.9 * i)
        columns = np.clip(x[None] + sway[:, None].round().astype(int), 0, w - 1)
        rows = np.clip(shore - depth + (reach * np.cos(depth / 3.0 + 0.7 * i)).round().astype(int), 0, h - 1)
        frame[shore:] = (frame[rows[:, None], columns] * 0.8).astype(np.uint8)
    return out


def rain(clip: Clip) -> Clip:
    out, rng = clip.copy(), np.random.default_rng(3)
    for frame in out:
        layer = np.zeros(frame.shape[:2], np.uint8)
        for x, y in zip(rng.integers(0, 512, 160), rng.integers(-20, 288, 160), strict=True):
            cv2.line(layer, (int(x), int(y)), (int(x) + 3, int(y) + 16), 70, 1, cv2.LINE_AA)
        frame[:] = cv2.add(frame, np.repeat(layer[:, :, None], 3, 2))
    return out


def shake(clip: Clip) -> Clip:
    """A hand-held camera: another shift in each frame."""
    rng, (h, w) = np.random.default_rng(9), clip.shape[1:3]
    moves = rng.normal(0, 4, (len(clip), 2)).clip(-8, 8)
    return np.stack(
        [
            cv2.warpAffine(
                frame, np.array([[1, 0, dx], [0, 1, dy]]), (w, h), borderMode=cv2.BORDER_REFLECT_101
            )
            for frame, (dx, dy) in zip(clip, moves, strict=True)
        ]
    )


def blurred_bottom(clip: Clip) -> Clip:
    """Shallow depth of field: the ground before the lens is out of focus."""
    out, weight = clip.copy(), np.clip((np.arange(clip.shape[1]) - 220) / 40, 0, 1)[:, None, None]
    for frame in out:
        soft = cv2.GaussianBlur(frame, (0, 0), 5)
        frame[:] = (frame * (1 - weight) + soft * weight).astype(np.uint8)
    return out


EDITS: dict[str, Callable[[Clip], Clip]] = {
    "letterbox": letterbox,
    "subtitle": subtitle,
    "lower_third": lower_third,
    "ticker": ticker,
    "cut": cut,
    "fade": fade,
    "grain": grain,
    "water": water,
    "soft_letterbox": soft_letterbox,
    "glass_lower_third": glass_lower_third,
    "timeline": timeline,
    "rain": rain,
    "shake": shake,
    "blurred_bottom": blurred_bottom,
}
