"""Files that others wrote: small, regular, shallow UTF-8 ones are read; the rest is a reason."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from cogexp.storage.foreign_data import (
    MAX_DEPTH,
    ForeignDataError,
    parse_json,
    parse_yaml,
    read_json,
    read_text,
    read_yaml,
)


def test_what_python_writes_is_read_as_it_is(tmp_path: Path) -> None:
    value = {"a": [1, 2.5, None, True, "늑대"], "b": {"c": {}}, "n": 10**300, "half": "x"}
    (tmp_path / "a.json").write_text(json.dumps(value))
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(value, allow_unicode=True))
    assert read_json(tmp_path / "a.json") == value
    assert read_yaml(tmp_path / "a.yaml") == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("NaN", "NaN is not JSON"),
        ("1e999", "too large"),
        ("-1e999", "too large"),
        ("9" * 400, "400 digits"),
        ("9" * 309, "no JSON"),
        ("[" * 100_000, "nested deeper"),
        ("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), "nested deeper"),
        ('{"a":' * 200 + "1" + "}" * 200, "nested deeper"),
    ],
)
def test_json_that_a_reader_would_stumble_over_is_refused(text: str, why: str) -> None:
    with pytest.raises(ForeignDataError, match=why) as caught:
        parse_json(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_half_a_character_becomes_a_question_mark() -> None:
    found = parse_json('{"\\ud800": ["\\udfff", "ok"]}')
    assert found == {"?": ["?", "ok"]}
    json.dumps(found, ensure_ascii=False).encode("utf-8")


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BOMB, "more than"),
        ("a: &a {k: v}\nb: &b {<<: [*a, *a]}\n" + "".join(
            f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}' if i else '*b'] * 40)}]}}\n" for i in range(6)
        ), "more than"),
        ("a: &a [*a]", "holds itself"),
        ("[" * 5000, "nested deeper"),
        ("- " * 5000, "nested deeper"),
        ("!!python/object/apply:os.system [id]", "not YAML"),
        ("a: 2026-13-45", "not YAML"),
        ("{? [a]: b}", "not YAML"),
        ("a: [", "not YAML"),
        ("\x00", "not YAML"),
        ("a: " + "1" * 5000, "not YAML"),
    ],
)  # fmt: skip
def test_yaml_that_explodes_or_runs_code_is_refused(text: str, why: str) -> None:
    with pytest.raises(ForeignDataError, match=why) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)


def test_aliases_and_merges_of_a_small_document_work() -> None:
    text = "a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]\nn: 0x10\n"
    assert parse_yaml(text) == yaml.safe_load(text)
    assert parse_yaml(text, as_text=True)["n"] == "0x10"
    assert parse_yaml("") is None


def test_only_regular_files_of_a_sane_size_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "large").write_bytes(b"x" * 2000)
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    for name, why in (
        ("pipe", "not a regular file"),
        ("zero", "not a regular file"),
        (".", "not a regular file"),
        ("loop", "cannot be read"),
        ("x" * 300, "cannot be read"),
        ("large", "1,000 are the most"),
        ("latin", "not UTF-8"),
    ):
        with pytest.raises(ForeignDataError, match=why):
            read_text(tmp_path / name, max_bytes=1000)
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "none")


@pytest.mark.parametrize("value", [{"a": 1}, [], "x", 0, None])
def test_any_small_document_comes_back(value: Any) -> None:
    assert parse_json(json.dumps(value)) == value
