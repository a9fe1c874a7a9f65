"""Clips and pictures of a report: linked where they lie or held inside it, and a small poster of each run."""

from __future__ import annotations

import base64
import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from cogexp.record import Record
from cogexp.spec import SpecError
from cogexp.storage.durable import replacing
from cogexp.storage.run_files import inside
from cogexp.video import VideoError

EMBED_LIMIT_MB = 300  # a browser's longest string is 512 MiB, and base64 adds a third
POSTER_FILE = "poster.jpg"
MOST_POSTER_BYTES = 200_000
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
        file = record.files.get(name, "")
        shown = Path(file).suffix.lower() in TYPES  # never another file of the folder as a clip
        return self.path(home, file, embeds=embeds) if shown else None

    def path(self, home: Path, name: str, *, embeds: bool = True) -> str | None:
        """The same for any file of the run's folder; None for one that a link leads out of it."""
        file = inside(home, name)
        if file is None:
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

        clip = inside(home, record.files.get("native", ""))
        if clip is None:
            return None
        kept = inside(home, POSTER_FILE)
        if kept is not None and kept.stat().st_mtime >= clip.stat().st_mtime and _is_small_jpeg(kept):
            return uri(kept.read_bytes(), TYPES[".jpg"])
        size = record.spec.get("resolution") or {}
        try:
            picture = poster(clip, int(size.get("width", 16)), int(size.get("height", 9)))
        except VideoError as error:
            self.unreadable.append(str(error))
            return None
        _keep(picture, home / POSTER_FILE)
        return uri(picture, TYPES[".jpg"])


def _is_small_jpeg(file: Path) -> bool:
    """Whether it is what `_keep` leaves: anything else is made again."""
    if file.stat().st_size > MOST_POSTER_BYTES:
        return False
    with file.open("rb") as opened:
        return opened.read(3) == b"\xff\xd8\xff"


def _keep(picture: bytes, file: Path) -> None:
    """Save time for the next report. A folder that takes no files only costs that time again."""
    if file.parent.is_symlink():  # nothing is written outside the runs
        return
    with contextlib.suppress(OSError), replacing(file) as staged:
        staged.write_bytes(picture)


def uri(content: bytes, kind: str) -> str:
    """A data URI (RFC 2397)."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
