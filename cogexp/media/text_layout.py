"""Text drawn by Pillow: which font has its letters, and how it is broken into lines.

Widths are in px. Time and lines are bounded, whatever the text.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path
from typing import TypeAlias

from PIL import ImageFont

Font: TypeAlias = "ImageFont.FreeTypeFont | ImageFont.ImageFont"

MOST_LINES = 60
LINE_LETTERS = 800  # of no width or little: more do not fit a page, and each costs time


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


def clipped(text: str, size: int, width: int) -> str:
    """One line of at most `width` px in the font of this size (px), a cut ends with '…'."""
    text = text[:LINE_LETTERS]
    face = font_for(text, size)
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
