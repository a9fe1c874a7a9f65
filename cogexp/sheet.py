"""contact_sheet.png: what a clip looks like, at which setting, with what scores and costs, at a glance.

Frames are uint8 arrays of shape (n, h, w, 3), RGB. Only numpy and Pillow; all text comes as plain values.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Font: TypeAlias = "ImageFont.FreeTypeFont | ImageFont.ImageFont"

WIDTH = 1600
MARGIN = 48
GAP = 12
MAX_CELL_HEIGHT = 460  # portrait clips must not make a tower of the sheet
DETAIL_HEIGHT = 420
PAPER, INK, SOFT, LINE = (251, 251, 249), (28, 30, 34), (112, 116, 124), (222, 222, 216)
TABLE_COLUMNS = 3
HEADING_LINES, MOST_LINES = 12, 60
LINE_LETTERS = 800  # of no width or little: more do not fit a page, and each costs time
# Of zlib: run lengths fit flat ground; 0.8 of the time of its default at level 2, files 10 % smaller.
COMPRESSION = {"compress_level": 1, "compress_type": 3}


@dataclass(frozen=True)
class Detail:
    """A window of the native frame, px: the one with the most structure in it."""

    top: int
    left: int
    height: int
    width: int


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
            self.draw.text((left, top), _clipped(label, column - 150), font=font_for(label, 19), fill=SOFT)
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


def wrap(text: str, face: Font, width: int, most: int = MOST_LINES) -> list[str]:
    """At most `most` lines no wider than `width` px; a word that is too long is broken, a cut ends with '…'.

    The time depends on `most`, not on the length of the text: no more is looked at than may be shown.
    """
    shown = text[: most * LINE_LETTERS + 1]
    lines: list[str] = []
    line = ""
    for word in shown.split():
        while len(lines) <= most and not _fits(word, face, width):
            cut = _longest(word, face, width)
            lines += [part for part in (line, word[:cut]) if part]
            line, word = "", word[cut:]
        if not _fits(f"{line} {word}".strip(), face, width):
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
        if len(lines) > most:
            break
    lines = [*lines, line] if line else lines
    if len(lines) <= most and len(shown) == len(text):
        return lines
    last = lines[min(most, len(lines)) - 1]
    return [
        *lines[: most - 1],
        f"{last[: _longest(last, face, width - round(face.getlength('…')))].rstrip()}…",
    ]


def _fits(text: str, face: Font, width: int) -> bool:
    return len(text) <= LINE_LETTERS and face.getlength(text) <= width


def _longest(word: str, face: Font, width: int) -> int:
    """How many of its first letters fit `width` px: at least one."""
    low, high = 1, min(len(word), LINE_LETTERS)
    while low < high:
        middle = (low + high + 1) // 2
        if face.getlength(word[:middle]) <= width:
            low = middle
        else:
            high = middle - 1
    return low


def _clipped(text: str, width: int) -> str:
    text = text[:LINE_LETTERS]
    face = font_for(text, 19)
    while face.getlength(text) > width and len(text) > 2:
        text = text[:-2].rstrip() + "…"
    return text


def writable(text: str) -> bool:
    """True when some font on this machine has every character of `text`."""
    return _is_latin(text) or font_file(text) is not None


def font_for(text: str, size: int) -> Font:
    """Pillow's own face for Latin text; for other scripts one of the system's that has them."""
    if (file := font_file(text)) is not None:
        return ImageFont.truetype(file, size)
    return ImageFont.load_default(size)


def font_file(text: str) -> str | None:
    """The system's font file for text in another script; None for Latin text, or where there is none."""
    return None if _is_latin(text) else _system_font(_script(text))


def _is_latin(text: str) -> bool:
    return all(ord(letter) < 0x180 or letter in "–—‘’“”…·" for letter in text)


def _script(text: str) -> str:
    """The language, as fontconfig names it, of the first letter that is not Latin."""
    for letter in text:
        code = ord(letter)
        if 0xAC00 <= code <= 0xD7A3 or 0x1100 <= code <= 0x11FF or 0x3130 <= code <= 0x318F:
            return "ko"
        if 0x3040 <= code <= 0x30FF:
            return "ja"
        if 0x4E00 <= code <= 0x9FFF:
            return "zh-cn"
        if 0x400 <= code <= 0x52F:
            return "ru"
    return "en"


@functools.lru_cache(maxsize=8)
def _system_font(language: str) -> str | None:
    """A font file for the language by fontconfig, or from where macOS and Windows keep theirs."""
    known = {"ko": ("/System/Library/Fonts/AppleSDGothicNeo.ttc", "C:/Windows/Fonts/malgun.ttf")}
    for path in known.get(language, ()):
        if Path(path).is_file():
            return path
    if shutil.which("fc-list") is None:
        return None
    command = ["fc-list", f":lang={language}", "file"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    files = [line.rstrip(": ") for line in listed.splitlines()]
    plain = [file for file in files if "Regular" in file and file.endswith((".ttf", ".otf", ".ttc"))]
    return next(iter(sorted(plain) or sorted(files)), None)
