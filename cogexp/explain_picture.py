"""explain.png: both decodings side by side, what differs between them, and the difference by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cogexp.engine.generate import TileLines
from cogexp.media.text_layout import font_for, wrap
from cogexp.metrics.artifacts.attribution import BAND, Attribution
from cogexp.sheet import INK, MARGIN, PAPER, SOFT

PANEL_WIDTH, PROFILE_WIDTH, GAP = 640, 260, 16
MIN_WIDTH = 1000  # a portrait clip leaves room for the words
MARK, BAR = (214, 60, 40), (70, 110, 190)


def draw(
    made: np.ndarray,
    second: np.ndarray,
    verdict: Attribution,
    lines: TileLines,
    *,
    title: str,
    how: str = "decoded whole",
    out: Path,
) -> None:
    """Clips (t, h, w, 3) uint8, as run and decoded again -> a PNG of the frame that differs most."""
    difference = np.abs(made.astype(np.int16) - second).max(3)
    frame = int(difference.mean((1, 2)).argmax())
    gain = 255 / max(np.percentile(difference[frame], 99.5), 8)
    heat = np.repeat(np.clip(difference[frame] * gain, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    height, width = made.shape[1:3]
    scale = min(PANEL_WIDTH / width, 640 / height)
    size = (round(width * scale), round(height * scale))
    page = Image.new("RGB", (max(2 * MARGIN + 2 * size[0] + GAP, MIN_WIDTH), 2000), PAPER)
    pen, y = ImageDraw.Draw(page), MARGIN
    for line in wrap(title, font_for(title, 22), page.width - 2 * MARGIN):
        pen.text((MARGIN, y), line, font=font_for(line, 22), fill=INK)
        y += 30
    y += 12
    for index, (label, picture) in enumerate(
        ((f"as run, frame {frame}", made[frame]), (f"the same latents {how}", second[frame]))
    ):
        left = MARGIN + index * (size[0] + GAP)
        pen.text((left, y), label, font=font_for(label, 18), fill=SOFT)
        page.paste(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS), (left, y + 28))
        _mark_tiles(pen, lines, left, y + 28, size, scale)
    y += size[1] + 48
    label = f"difference, x{gain:.0f}; ticks: where VAE tiles meet"
    pen.text((MARGIN, y), label, font=font_for(label, 18), fill=SOFT)
    page.paste(Image.fromarray(heat).resize(size), (MARGIN, y + 28))
    _mark_tiles(pen, lines, MARGIN, y + 28, size, scale)
    _profile(pen, verdict, lines, (MARGIN + size[0] + GAP, y), size[1], scale)
    page.crop((0, 0, page.width, y + size[1] + 28 + MARGIN)).save(out, optimize=True)


def _mark_tiles(
    pen: ImageDraw.ImageDraw, lines: TileLines, left: int, top: int, size: tuple[int, int], scale: float
) -> None:
    """Ticks in the margin, not over the picture: the seam itself must be seen."""
    for row in lines.rows:
        y = top + round(row * scale)
        pen.line((left - 10, y, left - 2, y), fill=MARK, width=3)
    for column in lines.columns:
        x = left + round(column * scale)
        pen.line((x, top + size[1] + 2, x, top + size[1] + 10), fill=MARK, width=3)


def _profile(
    pen: ImageDraw.ImageDraw,
    verdict: Attribution,
    lines: TileLines,
    corner: tuple[int, int],
    height: int,
    scale: float,
) -> None:
    """Mean |difference| of each band of rows, beside the rows it speaks of."""
    left, top = corner
    largest = max(verdict.row_profile)
    label = f"mean difference by row, up to {largest:.1f} of 255"
    pen.text((left, top), label, font=font_for(label, 18), fill=SOFT)
    for index, value in enumerate(verdict.row_profile):
        y = top + 28 + round(index * BAND * scale)
        end = left + round(PROFILE_WIDTH * value / max(largest, 1e-6))
        inside = verdict.rows is not None and verdict.rows[0] <= index * BAND <= verdict.rows[1]
        pen.rectangle((left, y, max(end, left), y + round(BAND * scale) - 2), fill=MARK if inside else BAR)
    for row in lines.rows:
        y = top + 28 + round(row * scale)
        pen.line((left, y, left + PROFILE_WIDTH, y), fill=MARK, width=1)
        pen.text((left + PROFILE_WIDTH + 8, y - 10), f"row {row}", font=font_for("", 16), fill=MARK)
    end_y = top + 28 + height
    pen.line((left, end_y, left + PROFILE_WIDTH, end_y), fill=SOFT, width=1)
