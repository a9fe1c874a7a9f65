"""Text files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from cogexp.whole import write_whole


def test_the_folder_is_made_and_only_the_file_is_left(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b.json"
    for text in ("{}", "두 늑대"):
        write_whole(file, text)
        assert file.read_text(encoding="utf-8") == text
        assert list(file.parent.iterdir()) == [file]


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "b.json"
    write_whole(file, "old")

    def full(_: Path, target: Path) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write_whole(file, "new")
    assert [one.read_text(encoding="utf-8") for one in tmp_path.iterdir()] == ["old"]
