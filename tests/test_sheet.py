"""The contact sheet: everything is on the page, at any size, and text never leaves it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import Image

from cogexp import sheet
from cogexp.media import text_layout
from cogexp.media.text_layout import font_for, wrap, writable
from cogexp.sheet import WIDTH, Detail, busiest, contact_sheet


def noise(frames: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (frames, height, width, 3), np.uint8)


def draw(
    out: Path, native: np.ndarray, upscaled: np.ndarray | None = None, title: str = "two wolves"
) -> np.ndarray:
    contact_sheet(
        native,
        upscaled,
        frame_numbers=range(len(native)),
        fps=8,
        title=title,
        fallback_title="prompt: custom",
        subtitle="nano · 512x288 · seed 0",
        rows=[("native/motion_px", "1.25"), ("denoise seconds", "20.1")],
        out=out,
    )
    return np.asarray(Image.open(out))


@pytest.mark.parametrize("size", [(64, 64), (288, 512), (512, 288), (768, 1360), (80, 1024)], ids=str)
@pytest.mark.parametrize("frames", [1, 4])
def test_any_size_fits_the_page(tmp_path: Path, size: tuple[int, int], frames: int) -> None:
    page = draw(tmp_path / "sheet.png", noise(frames, *size), noise(frames, 2 * size[0], 2 * size[1]))
    assert page.shape[1] == WIDTH
    assert 300 < page.shape[0] < 2500
    # The margins stay paper: nothing is drawn over the edge.
    for edge in (page[:, :40], page[:, -40:], page[:30], page[-30:]):
        assert (edge == sheet.PAPER).all()


def test_the_frames_are_on_the_page_in_order(tmp_path: Path) -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30)]
    native = np.stack([np.full((90, 160, 3), colour, np.uint8) for colour in colours])
    page = draw(tmp_path / "sheet.png", native)
    middles = [int(np.argwhere((page == colour).all(2))[:, 1].mean()) for colour in colours]
    assert middles == sorted(middles)


def test_a_long_prompt_is_wrapped_not_cut(tmp_path: Path) -> None:
    face = font_for("", 36)
    text = "wolves " * 60 + "x" * 300
    lines = wrap(text, face, 1000)
    assert all(face.getlength(line) <= 1000 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert (
        draw(tmp_path / "a.png", noise(1, 64, 64), title=text).shape[0]
        > draw(tmp_path / "b.png", noise(1, 64, 64)).shape[0]
    )


def test_the_detail_is_where_the_structure_is() -> None:
    frame = np.full((288, 512, 3), 90, np.uint8)
    frame[200:260, 300:400] = noise(1, 60, 100)[0]
    window = busiest(frame)
    assert (window.height, window.width) == (72, 128)
    assert window.top <= 200 < window.top + window.height
    assert window.left <= 340 < window.left + window.width
    assert busiest(np.zeros((64, 64, 3), np.uint8)) == Detail(0, 0, 16, 28)
    assert busiest(frame.swapaxes(0, 1)).width == 128  # as wide in a portrait clip: the labels need the room


def test_text_that_no_font_can_write_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_layout, "_system_font", lambda language: None)
    assert not writable("늑대 두 마리")
    assert writable("Zwei Wölfe, a “Disney-like” sense of space…")
    korean = draw(tmp_path / "a.png", noise(1, 64, 64), title="늑대 두 마리")
    np.testing.assert_array_equal(korean, draw(tmp_path / "b.png", noise(1, 64, 64), title="prompt: custom"))


def block_font(file: Path, widths: dict[str, int]) -> str:
    """A font whose letters are blocks as wide as given, in thousandths of its size, and 600 tall."""
    builder = FontBuilder(1000, isTTF=True)
    names = {letter: f"uni{ord(letter):04X}" for letter in widths}
    sizes = {".notdef": 500, **{names[letter]: width for letter, width in widths.items()}}
    builder.setupGlyphOrder(list(sizes))
    builder.setupCharacterMap({ord(letter): name for letter, name in names.items()})
    glyphs = {}
    for name, width in sizes.items():
        pen = TTGlyphPen(None)
        pen.moveTo((0, 0))
        for corner in ((0, 600), (width, 600), (width, 0)):
            pen.lineTo(corner)
        pen.closePath()
        glyphs[name] = pen.glyph()
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics({name: (width, 0) for name, width in sizes.items()})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Blocks", "styleName": "Regular"})
    builder.setupPost()
    builder.save(file)
    return str(file)


def test_korean_is_drawn_in_a_font_of_the_system_that_has_hangul(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = block_font(tmp_path / "blocks.ttf", {"늑": 300, "대": 900})
    monkeypatch.setattr(text_layout, "_system_font", lambda language: file if language == "ko" else None)
    assert writable("늑대")
    assert not writable("волк"), "no font for that one"
    boxes = [font_for("늑대", 100).getmask(letter).getbbox() for letter in "늑대"]
    assert boxes == [(0, 0, 30, 60), (0, 0, 90, 60)]
    korean = draw(tmp_path / "a.png", noise(1, 64, 64), title="늑대")
    other = draw(tmp_path / "b.png", noise(1, 64, 64), title="대늑")
    assert not np.array_equal(korean, other), "its own letters, not the fallback"


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell script as fc-list")
def test_fontconfig_is_asked_for_the_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = block_font(tmp_path / "blocks.ttf", {"в": 300})
    (tmp_path / "fc-list").write_text(f"""#!/bin/sh\n[ "$1" = :lang=ru ] && echo '{file}: '\n""", "utf-8")
    (tmp_path / "fc-list").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    text_layout._system_font.cache_clear()
    try:
        assert [text_layout._system_font(language) for language in ("ru", "ja")] == [file, None]
    finally:
        text_layout._system_font.cache_clear()


@pytest.mark.parametrize("letter", ["x", "늑", "🐺", "\u0301", "\u200b", "i "])
def test_a_megabyte_of_text_is_cut_to_a_page(tmp_path: Path, letter: str) -> None:
    page = draw(tmp_path / "sheet.png", noise(1, 64, 64), title=letter * (1_000_000 // len(letter)))
    assert page.shape[0] < 2500


def test_a_cut_text_ends_with_dots_and_fits() -> None:
    face = font_for("", 36)
    for text in ("wolves " * 9000, "x" * 90_000):
        lines = wrap(text, face, 1000, 5)
        assert len(lines) == 5
        assert lines[-1].endswith("…")
        assert all(face.getlength(line) <= 1000 for line in lines)
    assert wrap("W", face, 3) == ["W"], "a letter that is wider than the page stands alone"
    assert wrap("two wolves", face, 1000, 1) == ["two wolves"]
