"""What the pictures share: paper, tiles with names at the axes, colour bars, files.

Tiles are uint8 (rows, columns, h, w, 3). matplotlib is used through Figure objects only, so that a host
program's pyplot state is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from cogexp.media.text_layout import font_file

DPI = 110
WIDTH = 13.0  # inches of a full-width picture
INK, SOFT, PAPER = "#1c1e22", "#70747c", "#fbfbf9"
PAPER_RGB = (251, 251, 249)
GAP = 6  # px between tiles
LABEL = 22  # px for a line above a tile


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A file of the atlas: what it shows and what its numbers say; `words` are more terms to search for."""

    file: str
    section: str
    title: str
    caption: str
    words: str = ""
    width: int
    height: int


@lru_cache(maxsize=1)
def _families() -> tuple[str, ...]:
    """DejaVu, then a face of this machine for Korean and the other scripts that it lacks."""
    from matplotlib import font_manager

    found = ["DejaVu Sans"]
    for sample in ("가", "あ"):
        if (file := font_file(sample)) is not None:
            font_manager.fontManager.addfont(file)
            found.append(font_manager.FontProperties(fname=file).get_name())
    return tuple(dict.fromkeys(found))


def figure(width: float, height: float) -> Any:
    """An empty figure of this size in inches on our paper."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.family": list(_families())}):
        made = Figure(figsize=(width, height), dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(made)
    return made


def axes(made: Any, left: float, top: float, width: float, height: float) -> Any:
    """Axes at this place in inches from the upper left corner."""
    wide, high = made.get_size_inches()
    return made.add_axes((left / wide, 1 - (top + height) / high, width / wide, height / high))


def save(
    made: Any, folder: Path, file: str, *, section: str, title: str, caption: str, words: str = ""
) -> Picture:
    """Write the PNG below `folder`."""
    import matplotlib

    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"font.family": list(_families())}):
        made.savefig(path, facecolor=PAPER, pil_kwargs={"compress_level": 3})
    width, height = (round(side * DPI) for side in made.get_size_inches())
    return Picture(
        file=file, section=section, title=title, caption=caption, words=words, width=width, height=height
    )


def canvas(tiles: np.ndarray, above: int = 0) -> np.ndarray:
    """One picture of tiles (rows, columns, h, w, 3), paper between them, `above` px of it over each row."""
    rows, columns, height, width, _ = tiles.shape
    tall = height + GAP + above
    made = np.full((rows * tall - GAP, columns * (width + GAP) - GAP, 3), PAPER_RGB, np.uint8)
    for row in range(rows):
        for column in range(columns):
            top, left = row * tall + above, column * (width + GAP)
            made[top : top + height, left : left + width] = tiles[row, column]
    return made


def show_labelled(
    made: Any,
    tiles: Sequence[np.ndarray],
    labels: Sequence[str],
    place: tuple[float, float, float],
    columns: int,
) -> None:
    """Draw tiles (h, w, 3) in rows of `columns`, a line above each, at (left, top, width) in inches."""
    height, width, _ = tiles[0].shape
    rows = -(-len(tiles) // columns)
    grid = np.full((rows, columns, height, width, 3), PAPER_RGB, np.uint8)
    for index, tile in enumerate(tiles):
        grid[divmod(index, columns)] = tile
    picture = canvas(grid, above=LABEL)
    left, top, wide = place
    plot = axes(made, left, top, wide, wide * picture.shape[0] / picture.shape[1])
    plot.imshow(picture, aspect="auto", interpolation="nearest")
    plot.set_axis_off()
    for index, label in enumerate(labels):
        row, column = divmod(index, columns)
        at = (column * (width + GAP), row * (height + GAP + LABEL) + LABEL - 4)
        plot.text(*at, label, fontsize=8.5, va="bottom", color=INK)


def labelled_height(width: float, tile: tuple[int, int], count: int, columns: int) -> float:
    """Height in inches of `count` labelled tiles (h, w) in rows of `columns` that are `width` wide."""
    rows = -(-count // columns)
    return width * (rows * (tile[0] + GAP + LABEL) - GAP) / (columns * (tile[1] + GAP) - GAP)


def show_tiles(
    made: Any,
    tiles: np.ndarray,
    place: tuple[float, float, float],
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    title: str = "",
    row_axis: str = "",
    column_axis: str = "",
) -> float:
    """Draw tiles at (left, top, width) in inches, names at their sides; the height that they take, inches."""
    left, top, width = place
    picture = canvas(tiles)
    height = width * picture.shape[0] / picture.shape[1]
    plot = axes(made, left, top, width, height)
    plot.imshow(picture, aspect="auto", interpolation="nearest")
    tall, wide = tiles.shape[2] + GAP, tiles.shape[3] + GAP
    plot.set_yticks([row * tall + tiles.shape[2] / 2 for row in range(len(rows))], rows, fontsize=9)
    plot.set_xticks(
        [column * wide + tiles.shape[3] / 2 for column in range(len(columns))], columns, fontsize=9
    )
    bare(plot)
    if title:
        plot.set_title(title, fontsize=11, loc="left", color=INK)
    plot.set_xlabel(column_axis, fontsize=9, color=SOFT)
    plot.set_ylabel(row_axis, fontsize=9, color=SOFT)
    return height


def bare(plot: Any) -> None:
    """No frame and no tick lines: names only."""
    plot.tick_params(length=0, colors=INK)
    for spine in plot.spines.values():
        spine.set_visible(False)


def tiles_height(width: float, tiles: tuple[int, int, int, int]) -> float:
    """Height in inches of (rows, columns, h, w) tiles drawn `width` wide."""
    rows, columns, height, wide = tiles
    return width * (rows * (height + GAP) - GAP) / (columns * (wide + GAP) - GAP)


def colour_bar(
    made: Any, place: tuple[float, float, float, float], *, low: float, high: float, colours: str, label: str
) -> None:
    """A vertical bar at (left, top, width, height) in inches with its scale."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = axes(made, *place)
    drawn = made.colorbar(ScalarMappable(Normalize(low, high), colours), cax=bar)
    drawn.set_label(label, fontsize=9, color=SOFT)
    drawn.ax.tick_params(labelsize=8, colors=INK, length=2)
    drawn.outline.set_visible(False)


def coloured(values: np.ndarray, low: float, high: float, colours: str) -> np.ndarray:
    """(..., h, w) numbers -> uint8 (..., h, w, 3)."""
    import matplotlib

    unit = (values - low) / max(high - low, 1e-30)
    painted: np.ndarray = (
        (matplotlib.colormaps[colours](unit.clip(0, 1))[..., :3] * 255).round().astype(np.uint8)
    )
    return painted


def resized(picture: np.ndarray, size: tuple[int, int], *, smooth: bool = False) -> np.ndarray:
    """A uint8 (h, w, 3) picture at another (height, width)."""
    from PIL import Image

    method = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), method))


def evenly(count: int, most: int) -> list[int]:
    """At most `most` indices of `count`, from the first to the last."""
    return list(dict.fromkeys(round(at) for at in np.linspace(0, count - 1, min(most, count))))


def tile_size(height: int, width: int, *, widest: int) -> tuple[int, int]:
    """Height and width in px of a tile of this shape, `widest` wide, or as tall for a portrait clip."""
    scale = widest / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def number(value: float) -> str:
    """Three digits, without an exponent for thousands."""
    return f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"


def slug(text: str) -> str:
    """Letters and digits for a file's name; other scripts become their code points."""
    kept = "".join(c if c.isascii() and c.isalnum() else f"u{ord(c):x}" if c.isalnum() else "-" for c in text)
    return kept.strip("-").lower()[:40] or "word"
