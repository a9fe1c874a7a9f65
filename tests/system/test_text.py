"""Text as a file's name, on a terminal and in a table."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cogexp.system.text import csv_cell, file_name, shortened, visible


@pytest.mark.parametrize(
    "text", ["늑대" * 60, "a" * 400, "🐺" * 99, "../../etc/passwd", "a/b\\c", "\udcff", "", "...", "ß" * 300]
)
def test_any_text_makes_a_name_that_a_file_system_takes(text: str, tmp_path: Path) -> None:
    name = f"x{file_name(text)}-0123ab.json.4194304.abcdef.tmp"
    assert len(name.encode()) <= 255
    assert os.sep not in name
    (tmp_path / name).write_text("")
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_an_ordinary_name_stays_and_a_cut_ends_with_a_letter() -> None:
    assert file_name("quick-2.study_1") == "quick-2.study_1"
    assert file_name("늑대 두 마리") == "늑대-두-마리"
    assert set(file_name("늑" * 85)) == {"늑"}


def test_what_steers_a_terminal_is_written_out() -> None:
    assert visible("a\x1b[2J\x07\x9bb\u202e\udcff") == "a\\x1b[2J\\x07\\x9bb\\u202e\\udcff"
    assert visible("two\nlines\tand 늑대") == "two\nlines\tand 늑대"


def test_a_long_value_is_shortened_in_its_middle() -> None:
    assert shortened("short") == "short"
    assert len(shortened("x" * 10**6)) <= 200


@pytest.mark.parametrize("value", ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1", "  =1"])
def test_a_formula_becomes_text(value: str) -> None:
    assert csv_cell(value) == f"'{value}"


@pytest.mark.parametrize("value", ["wolves", "a=b", "-", 3, -2.5, None, True, ""])
def test_what_is_no_formula_stays(value: object) -> None:
    assert csv_cell(value) == value
