"""A text file is written whole or not at all: a reader meets the old one or the new one."""

from __future__ import annotations

from pathlib import Path

from cogexp.storage.durable import flush_folder, make_folder, replacing


def write_whole(file: Path, text: str) -> None:
    """Make the folder, write `text` (UTF-8) under a name of its own beside `file`, flush and rename it.

    Raises:
        OSError: `file` is the old one; or the new one, which may not last through a power cut.
    """
    make_folder(file.parent)
    with replacing(file) as staged:
        staged.write_text(text, encoding="utf-8")
    flush_folder(file.parent)
