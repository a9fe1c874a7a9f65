"""Clips and pictures of a report: linked where they lie or held inside it, and a small poster of each run."""

from __future__ import annotations

import base64
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from cogexp.record import Record
from cogexp.spec import SpecError
from cogexp.video import VideoError

EMBED_LIMIT_MB = 300  # a browser's longest string is 512 MiB, and base64 adds a third
POSTER_FILE = "poster.jpg"
TYPES = {".mp4": "video/mp4", ".png": "image/png", ".jpg": "image/jpeg"}


@dataclass(kw_only=True)
class Media:
    """How the page that lies in `beside` reaches the runs' files. `held`: address -> data URI."""

    beside: Path
    embed: bool = False
    held: dict[str, str] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    size: int = 0

    def link(self, record: Record, home: Path, name: str, *, embeds: bool = True) -> str | None:
        """What the page uses as the file's address; None where the run has no such file."""
        file = record.files.get(name)
        return self.path(home / file, embeds=embeds) if file else None

    def path(self, file: Path, *, embeds: bool = True) -> str | None:
        """The same for any file."""
        if not file.is_file():
            return None
        address = quote(Path(os.path.relpath(file, self.beside)).as_posix())
        if self.embed and embeds and address not in self.held:
            self.held[address] = self._uri(file)
        return address

    def _uri(self, file: Path) -> str:
        self.size += file.stat().st_size
        if self.size > EMBED_LIMIT_MB * 1_000_000:
            raise SpecError(
                f"--embed holds at most {EMBED_LIMIT_MB} MB of clips in one file, and these runs have more; "
                "leave it out (the page then links to the clips), or report on fewer runs"
            )
        return uri(file.read_bytes(), TYPES[file.suffix.lower()])

    def poster(self, record: Record, home: Path) -> str | None:
        """The native clip's first frame as a small JPEG inside the page; kept beside the clip."""
        from cogexp.study.clips import poster

        clip = home / record.files.get("native", "native.mp4")
        if "native" not in record.files or not clip.is_file():
            return None
        kept = home / POSTER_FILE
        if kept.is_file() and kept.stat().st_mtime >= clip.stat().st_mtime:
            return uri(kept.read_bytes(), TYPES[".jpg"])
        size = record.spec.get("resolution") or {}
        try:
            picture = poster(clip, int(size.get("width", 16)), int(size.get("height", 9)))
        except VideoError as error:
            self.unreadable.append(str(error))
            return None
        _keep(picture, kept)
        return uri(picture, TYPES[".jpg"])


def _keep(picture: bytes, file: Path) -> None:
    """Save time for the next report. A folder that takes no files only costs that time again."""
    staged = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        staged.write_bytes(picture)
        staged.replace(file)
    except OSError:
        with suppress(OSError):
            staged.unlink(missing_ok=True)


def uri(content: bytes, kind: str) -> str:
    """A data URI (RFC 2397)."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
