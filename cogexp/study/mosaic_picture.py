"""A mosaic of clips as one labelled MP4 and one PNG, small enough for a chat or a slide."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cogexp.media.text_layout import Font, font_for, wrap, writable
from cogexp.sheet import INK, LINE, PAPER, SOFT
from cogexp.spec import SpecError
from cogexp.study import clips
from cogexp.study.mosaic import Mosaic, Tile
from cogexp.video import Writer, probe

MAX_SIDE = 1920  # px; what every chat shows and H.264 level 4.1 plays, in both directions
MAX_CELL = 640
MIN_CELL = 120
MARGIN, GAP, LABEL, SMALL, TITLE = 24, 10, 20, 16, 26
LABEL_LETTERS = 200  # more are wider than any label, and cost time
LEADING = 1.45  # Korean stands taller than Latin
SECONDS = 4.0  # a chat plays a clip once: a shorter one is repeated whole times to at least this
MAX_FPS = 30.0
WARN = (178, 60, 20)
HOLE = (236, 234, 229)


@dataclass(frozen=True)
class _Box:
    """Where a clip goes, px; `size` (w, h) keeps its aspect inside the cell."""

    left: int
    top: int
    size: tuple[int, int]
    file: Path
    fps: float
    seconds: float


class _Playing:
    """A clip's frames at its cell's size, by time; the last one stays."""

    def __init__(self, box: _Box) -> None:
        self._box = box
        self.rewind()

    def rewind(self) -> None:
        self._frames: Iterator[np.ndarray] = clips.frames(self._box.file, *self._box.size)
        self._index, self._frame = -1, np.zeros((*self._box.size[::-1], 3), np.uint8)

    def at(self, seconds: float) -> np.ndarray:
        """uint8 (h, w, 3). Times only go forward between two rewinds."""
        while self._index < math.floor(seconds * self._box.fps + 1e-6):
            frame = next(self._frames, None)
            if frame is None:
                break
            self._frame, self._index = frame, self._index + 1
        return self._frame


def write_mosaic(
    mosaic: Mosaic, video: Path, picture: Path, advance: Callable[[int], None] = lambda done: None
) -> None:
    """Write both files. `advance` is told how many frames are done.

    Raises:
        SpecError: more rows or columns than can be read, or no clip at all.
        VideoError: a clip that cannot be read, a file that cannot be written.
    """
    page, boxes = _draw(mosaic)
    if not boxes:
        raise SpecError("--grid has no clip to show: every cell is missing, see the report's table of runs")
    players = [_Playing(box) for box in boxes]
    fps = min(MAX_FPS, max(box.fps for box in boxes))
    longest = max(box.seconds for box in boxes)
    rounds, length = max(1, math.ceil(SECONDS / longest - 1e-6)), max(1, round(longest * fps))
    picture.parent.mkdir(parents=True, exist_ok=True)
    with Writer(video, fps, crf=21) as writer:
        for index in range(rounds * length):
            if index % length == 0:
                for player in players:
                    player.rewind()
            frame = _filled(page, boxes, players, (index % length) / fps)
            writer.write(frame[None])
            if index == length // 2:
                Image.fromarray(frame).save(picture, optimize=True)
            advance(index + 1)


def frames_of(mosaic: Mosaic) -> int:
    """How many frames `write_mosaic` will write: for a progress bar."""
    found = [probe(tile.file) for row in mosaic.tiles for tile in row if tile.file]
    if not found:
        return 0
    fps, longest = min(MAX_FPS, max(p.fps for p in found)), max(p.frames / p.fps for p in found)
    return max(1, math.ceil(SECONDS / longest - 1e-6)) * max(1, round(longest * fps))


def _filled(page: np.ndarray, boxes: list[_Box], players: list[_Playing], seconds: float) -> np.ndarray:
    frame = page.copy()
    for box, player in zip(boxes, players, strict=True):
        frame[box.top : box.top + box.size[1], box.left : box.left + box.size[0]] = player.at(seconds)
    return frame


def _draw(mosaic: Mosaic) -> tuple[np.ndarray, list[_Box]]:
    """The page without its clips, uint8 (h, w, 3), and where they go."""
    probed = {tile.file: probe(tile.file) for row in mosaic.tiles for tile in row if tile.file}
    aspect = max((p.width / p.height for p in probed.values()), default=16 / 9)
    layout = _fitted(mosaic, aspect)
    image = Image.new("RGB", (layout.width, layout.height), PAPER)
    pen = ImageDraw.Draw(image)
    y = MARGIN
    for text, size, colour in layout.heading:
        _write(pen, (MARGIN, y), [text], size, colour)
        y += round(size * LEADING)
    for c, label in enumerate(layout.columns):
        left = MARGIN + layout.gutter + c * (layout.cell[0] + GAP)
        _write(pen, (left, layout.top - len(label) * round(LABEL * 1.3) - 6), label, LABEL, INK)
    boxes = []
    for r, (label, tiles) in enumerate(zip(layout.rows, mosaic.tiles, strict=True)):
        top = layout.top + r * (layout.cell[1] + layout.caption + GAP)
        height = len(label) * round(LABEL * 1.3)
        _write(pen, (MARGIN, top + max(0, (layout.cell[1] - height) // 2)), label, LABEL, INK)
        for c, tile in enumerate(tiles):
            left = MARGIN + layout.gutter + c * (layout.cell[0] + GAP)
            pen.rectangle((left, top, left + layout.cell[0] - 1, top + layout.cell[1] - 1), HOLE)
            if tile.file is None:
                _missing(pen, tile.missing, (left, top), layout.cell)
                continue
            found = probed[tile.file]
            scale = min(layout.cell[0] / found.width, layout.cell[1] / found.height)
            fitted = (max(2, round(found.width * scale)), max(2, round(found.height * scale)))
            at = (left + (layout.cell[0] - fitted[0]) // 2, top + (layout.cell[1] - fitted[1]) // 2)
            boxes.append(_Box(*at, fitted, tile.file, found.fps, found.frames / found.fps))
            _below(pen, tile, (left, top + layout.cell[1] + 4), layout.cell[0])
    return np.asarray(image), boxes


@dataclass(frozen=True)
class _Layout:
    width: int
    height: int
    gutter: int
    top: int
    caption: int
    cell: tuple[int, int]
    heading: list[tuple[str, int, tuple[int, int, int]]]
    rows: list[list[str]]
    columns: list[list[str]]


def _fitted(mosaic: Mosaic, aspect: float) -> _Layout:
    """The largest cells with which the page stays within MAX_SIDE both ways."""
    across, down = len(mosaic.columns), len(mosaic.rows)
    for cell in range(MAX_CELL, MIN_CELL - 1, -4):
        layout = _laid(mosaic, cell, aspect)
        if layout.width <= MAX_SIDE and layout.height <= MAX_SIDE:
            return layout
    raise SpecError(
        f"--grid {mosaic.row_name} {mosaic.column_name} must fit {MAX_SIDE} px with cells of {MIN_CELL} px, "
        f"got {down} rows x {across} columns; choose axes with fewer values"
    )


def _laid(mosaic: Mosaic, cell_width: int, aspect: float) -> _Layout:
    cell = (cell_width, max(2, round(cell_width / aspect)))
    names = [_named(mosaic.row_name, value, mosaic.rows) for value in mosaic.rows]
    widest = max(
        font_for(name, LABEL).getlength(word[:LABEL_LETTERS])
        for name in names
        for word in name.split() or [""]
    )
    gutter = round(min(max(widest, 60), 260)) + 16
    rows = [_lines(name, LABEL, gutter - 16, 4) for name in names]
    columns = [
        _lines(_named(mosaic.column_name, v, mosaic.columns), LABEL, cell_width, 3) for v in mosaic.columns
    ]
    width = 2 * MARGIN + gutter + len(columns) * (cell_width + GAP) - GAP
    width = max(width, 640)
    heading = _heading(mosaic, width - 2 * MARGIN)
    lines = max((_count(tile, cell_width) for row in mosaic.tiles for tile in row if tile.file), default=0)
    caption = lines * round(SMALL * 1.3) + 8 if lines else 0
    top = MARGIN + sum(round(size * LEADING) for _, size, _ in heading) + 14
    top += max(map(len, columns)) * round(LABEL * 1.3) + 6
    height = top + len(rows) * (cell[1] + caption + GAP) - GAP + MARGIN
    return _Layout(width + width % 2, height + height % 2, gutter, top, caption, cell, heading, rows, columns)


def _heading(mosaic: Mosaic, width: int) -> list[tuple[str, int, tuple[int, int, int]]]:
    """What is spread, then what is the same in all cells, then the decision."""
    held = ", ".join(f"{name} {value}" for name, value in mosaic.held.items())
    text = mosaic.text if writable(mosaic.text) else ""
    lines = [(f"{mosaic.row_name} (down) by {mosaic.column_name} (across)", TITLE, INK, 1)]
    lines += [(f"{held}{': ' if held and text else ''}{text}", LABEL, SOFT, 2)] if held or text else []
    lines += [(mosaic.verdict, SMALL + 2, INK, 3)] if mosaic.verdict else []
    return [
        (line, size, colour) for text, size, colour, most in lines for line in _lines(text, size, width, most)
    ]


def _named(name: str, value: str, values: tuple[str, ...]) -> str:
    """The label of a row or column; a number where no font of this machine can write the value."""
    return value if writable(value) else f"{name} {values.index(value) + 1}"


def unwritable(mosaic: Mosaic) -> list[str]:
    """What a reader must be told: labels that stand as numbers."""
    return [
        f"no font on this machine writes {value!r}: its label is {_named(name, value, values)!r}"
        for name, values in ((mosaic.row_name, mosaic.rows), (mosaic.column_name, mosaic.columns))
        for value in values if not writable(value)
    ]  # fmt: skip


def _lines(text: str, size: int, width: int, most: int) -> list[str]:
    return wrap(text, font_for(text, size), width, most) or [""]


def _count(tile: Tile, width: int) -> int:
    return len(_lines(tile.caption, SMALL, width, 3)) * bool(tile.caption) + bool(tile.warning)


def _below(pen: ImageDraw.ImageDraw, tile: Tile, at: tuple[int, int], width: int) -> None:
    lines = _lines(tile.caption, SMALL, width, 3) if tile.caption else []
    _write(pen, at, lines, SMALL, SOFT)
    if tile.warning:
        below = (at[0], at[1] + len(lines) * round(SMALL * 1.3))
        _write(pen, below, _lines(tile.warning, SMALL, width, 1), SMALL, WARN)


def _missing(pen: ImageDraw.ImageDraw, why: str, at: tuple[int, int], cell: tuple[int, int]) -> None:
    pen.rectangle((*at, at[0] + cell[0] - 1, at[1] + cell[1] - 1), outline=LINE, width=2)
    room = max(1, (cell[1] - 16) // round(SMALL * 1.3))
    lines = _lines(why, SMALL, cell[0] - 24, room)
    top = at[1] + (cell[1] - len(lines) * round(SMALL * 1.3)) // 2
    _write(pen, (at[0] + 12, top), lines, SMALL, WARN)


def _write(
    pen: ImageDraw.ImageDraw, at: tuple[int, int], lines: list[str], size: int, colour: tuple[int, int, int]
) -> None:
    for index, line in enumerate(lines):
        face: Font = font_for(line, size)
        pen.text((at[0], at[1] + index * round(size * 1.3)), line, font=face, fill=colour)
