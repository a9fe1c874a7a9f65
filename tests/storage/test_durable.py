"""Files that last: in which order they are flushed, under which names they are written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cogexp.storage import durable
from cogexp.storage.durable import make_folder, remove_staged, replacing, staged_name, write_in_order


def test_staged_names_differ_without_a_process_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 1)
    names = {staged_name(tmp_path / "clip.mp4") for _ in range(100)}
    assert len(names) == 100
    assert {name.suffix for name in names} == {".mp4"}
    long = staged_name(tmp_path / f"{'늑' * 80}.json").name
    assert len(long.encode()) <= 255


def test_content_name_and_folder_are_flushed_in_this_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, str]] = []

    def names() -> list[str]:
        return sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("."))

    monkeypatch.setattr(durable, "flush_folder", lambda folder: done.append(("folder", ",".join(names()))))
    monkeypatch.setattr(durable.os, "fsync", lambda _: done.append(("file", ",".join(names()))))
    write_in_order(tmp_path, {"curves": "1", "record": "2"})
    assert done == [
        ("file", ""), ("file", ""), ("folder", ""), ("folder", "curves"), ("folder", "curves,record")
    ]  # fmt: skip


def test_a_new_folder_and_those_above_it_are_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(durable, "flush_folder", flushed.append)
    make_folder(tmp_path / "outputs" / "runs" / "a")
    assert flushed == [tmp_path, tmp_path / "outputs", tmp_path / "outputs" / "runs"]
    make_folder(tmp_path / "outputs" / "runs" / "a")
    assert len(flushed) == 3


def test_an_interrupted_replacement_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "sheet.png"
    file.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(file) as staged:  # noqa: PT012
        staged.write_text("new")
        raise KeyboardInterrupt
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("sheet.png", "old")]


def test_what_killed_processes_left_goes_and_nothing_else(tmp_path: Path) -> None:
    kept = {"native.mp4", "record.json", ".lock", ".hidden", ".lock.0123.claim"}
    left = {".native.mp4.4711.part", ".record.json.4711.tmp", staged_name(tmp_path / "native.mp4").name}
    for name in kept | left:
        (tmp_path / name).touch()
    remove_staged(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept
