"""contact_sheet.png: what a clip looks like, at which setting, with what scores and costs, at a glance.

Frames are uint8 arrays of shape (n, h, w, 3), RGB. Only numpy and Pillow; all text comes as plain values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cogexp.media.text_layout import clipped, font_for, wrap, writable

WIDTH = 1600
MARGIN = 48
GAP = 12
MAX_CELL_HEIGHT = 460  # portrait clips must not make a tower of the sheet
DETAIL_HEIGHT = 420
PAPER, INK, SOFT, LINE = (251, 251, 249), (28, 30, 34), (112, 116, 124), (222, 222, 216)
TABLE_COLUMNS = 3
HEADING_LINES = 12
SHOWN = 4  # frames, at most
# Of zlib: run lengths fit flat ground; 0.8 of the time of its default at level 2, files 10 % smaller.
COMPRESSION = {"compress_level": 1, "compress_type": 3}


@dataclass(frozen=True)
class Detail:
    """A window of the native frame, px: the one with the most structure in it."""

    top: int
    left: int
    height: int
    width: int


def frames_to_show(frames: int) -> list[int]:
    """Indices of at most SHOWN frames, evenly from the first to the last."""
    count = min(frames, SHOWN)
    return [round(index * (frames - 1) / max(count - 1, 1)) for index in range(count)]


def contact_sheet(
    native: np.ndarray,
    upscaled: np.ndarray | None,
    *,
    frame_numbers: Sequence[int],
    fps: float,
    title: str,
    fallback_title: str,
    subtitle: str,
    rows: Sequence[tuple[str, str]],
    out: Path,
) -> None:
    """Draw the sheet into `out`.

    `native` (n, h, w, 3) and `upscaled` (n, H, W, 3) hold the same n moments, `frame_numbers` says which.
    `title` is the prompt; where no font on this machine can write it, `fallback_title` stands in its place.
    `rows` are (label, value) pairs for the table at the bottom.
    """
    page = _Page()
    page.heading(title if writable(title) else fallback_title, subtitle)
    labels = [f"frame {number}   {number / fps:.2f} s" for number in frame_numbers]
    page.strip(f"native   {native.shape[2]}x{native.shape[1]}", native, labels)
    if upscaled is not None:
        page.strip(f"upscaled   {upscaled.shape[2]}x{upscaled.shape[1]}", upscaled, [""] * len(labels))
        page.details(native[len(native) // 2], upscaled[len(upscaled) // 2])
    page.table(rows)
    page.save(out)


class _Page:
    """A white page that grows downward. `y` is where the next block starts."""

    def __init__(self) -> None:
        self.y = MARGIN
        self.image = Image.new("RGB", (WIDTH, 1_000), PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def room(self, height: int) -> None:
        """Make the page long enough for a block of this height."""
        if self.y + height + MARGIN <= self.image.height:
            return
        page = Image.new("RGB", (WIDTH, 2 * self.image.height + height), PAPER)
        page.paste(self.image)
        self.image, self.draw = page, ImageDraw.Draw(page)

    def heading(self, title: str, subtitle: str) -> None:
        for text, size, colour in ((title, 36, INK), (subtitle, 21, SOFT)):
            face = font_for(text, size)
            for line in wrap(text, face, WIDTH - 2 * MARGIN, HEADING_LINES):
                self.room(2 * size)
                self.draw.text((MARGIN, self.y), line, font=face, fill=colour)
                self.y += round(size * 1.32)
            self.y += 6
        self.y += 14

    def label(self, text: str, left: int = MARGIN) -> None:
        self.draw.text((left, self.y), text, font=font_for(text, 20), fill=INK)

    def strip(self, name: str, frames: np.ndarray, labels: Sequence[str]) -> None:
        """One row of frames of one size, each with a small label below."""
        self.room(MAX_CELL_HEIGHT + 80)
        self.label(name)
        self.y += 30
        count, height, width = frames.shape[:3]
        columns = max(count, 3)  # a single frame does not fill the page
        room = (WIDTH - 2 * MARGIN - (columns - 1) * GAP) // columns
        scale = min(room / width, MAX_CELL_HEIGHT / height)
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        for index, frame in enumerate(frames):
            left = MARGIN + index * (size[0] + GAP)
            self.image.paste(_resized(frame, size), (left, self.y))
            self.draw.text((left, self.y + size[1] + 5), labels[index], font=font_for("", 16), fill=SOFT)
        self.y += size[1] + (34 if any(labels) else 20)

    def details(self, native: np.ndarray, upscaled: np.ndarray) -> None:
        """The same small window twice, as large as fits: native pixels as they are, and upscaled."""
        self.room(DETAIL_HEIGHT + 80)
        window = busiest(native)
        factor = upscaled.shape[0] / native.shape[0]
        room = (WIDTH - 2 * MARGIN - GAP) // 2
        scale = min(room / window.width, DETAIL_HEIGHT / window.height)
        size = (round(window.width * scale), round(window.height * scale))
        self.label(f"detail, columns {window.left}-{window.left + window.width}: native pixels")
        self.label("the same, upscaled", MARGIN + size[0] + GAP)
        self.y += 30
        self.image.paste(_resized(_cut(native, window, 1.0), size, nearest=True), (MARGIN, self.y))
        self.image.paste(_resized(_cut(upscaled, window, factor), size), (MARGIN + size[0] + GAP, self.y))
        self.y += size[1] + 24

    def table(self, rows: Sequence[tuple[str, str]]) -> None:
        """Label and value pairs, down the columns."""
        if not rows:
            return
        self.room(len(rows) * 31 + 40)
        self.draw.line((MARGIN, self.y, WIDTH - MARGIN, self.y), fill=LINE, width=2)
        self.y += 18
        lines = -(-len(rows) // TABLE_COLUMNS)
        column = (WIDTH - 2 * MARGIN + 40) // TABLE_COLUMNS
        for index, (label, value) in enumerate(rows):
            left, top = MARGIN + index // lines * column, self.y + index % lines * 31
            face = font_for(value, 19)
            end = left + column - 40
            self.draw.text((left, top), clipped(label, 19, column - 150), font=font_for(label, 19), fill=SOFT)
            self.draw.text((end - face.getlength(value), top), value, font=face, fill=INK)
        self.y += lines * 31

    def save(self, out: Path) -> None:
        self.image.crop((0, 0, WIDTH, self.y + MARGIN)).save(out, **COMPRESSION)


def _resized(frame: np.ndarray, size: tuple[int, int], *, nearest: bool = False) -> Image.Image:
    shrinks = size[0] < frame.shape[1]
    method = Image.Resampling.LANCZOS if shrinks or not nearest else Image.Resampling.NEAREST
    return Image.fromarray(frame).resize(size, method)


def _cut(frame: np.ndarray, window: Detail, factor: float) -> np.ndarray:
    top, left = round(window.top * factor), round(window.left * factor)
    height, width = round(window.height * factor), round(window.width * factor)
    return frame[top : top + height, left : left + width]


def busiest(frame: np.ndarray) -> Detail:
    """The 16:9 window, a quarter of the frame's shorter side high, in which neighbouring pixels differ most.

    Wide for a portrait clip too: its two pictures fill the page's width, with room for a label each.
    """
    height, width = frame.shape[:2]
    size_y = max(min(height, width) // 4, 16)
    size_x = round(size_y * 16 / 9)
    luma = frame.astype(np.float32).mean(2)
    change = np.zeros((height + 1, width + 1))
    energy = np.abs(np.diff(luma, axis=0, append=luma[-1:])) + np.abs(
        np.diff(luma, axis=1, append=luma[:, -1:])
    )
    change[1:, 1:] = energy.cumsum(0).cumsum(1)
    size_y, size_x = min(size_y, height), min(size_x, width)
    sums = (
        change[size_y:, size_x:]
        - change[:-size_y, size_x:]
        - change[size_y:, :-size_x]
        + change[:-size_y, :-size_x]
    )
    top, left = np.unravel_index(int(sums.argmax()), sums.shape)
    return Detail(int(top), int(left), size_y, size_x)
