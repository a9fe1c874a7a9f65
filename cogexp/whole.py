"""A text file is written whole or not at all: a reader meets the old one or the new one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_whole(file: Path, text: str) -> None:
    """Make the folder, write `text` (UTF-8) under a name of this process beside `file`, then rename it.

    Raises:
        OSError: nothing of this attempt is left.
    """
    staged = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        staged.write_text(text, encoding="utf-8")
        staged.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            staged.unlink(missing_ok=True)
        raise
