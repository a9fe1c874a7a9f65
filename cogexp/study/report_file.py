"""Which files a report may be written over: none, or a report of this package."""

from __future__ import annotations

import stat
from pathlib import Path

from cogexp.spec import SpecError
from cogexp.system.faults import reason_of

MARKER = b'<meta name="generator" content="cogexp report">'
# Reports without the marker, of earlier versions: their first lines, and a title that begins so.
EARLIER = (b"<!doctype html>", b'<link rel="icon" href="data:,">', b"<title>cogexp: ")
HEAD_BYTES = 2048


def check_target(file: Path) -> None:
    """Refuse what a report must not replace.

    Raises:
        SpecError: `file` is there and is no report: someone's clip, record or page, a folder or a device.
    """
    try:
        about = file.stat()  # what a link leads to
        ours = stat.S_ISREG(about.st_mode) and (about.st_size == 0 or _is_report(file))
    except (FileNotFoundError, NotADirectoryError):
        return
    except ValueError:
        raise SpecError(f"FILE must be the path of a file, got {str(file)!r}; nearest: report.html") from None
    except OSError as error:
        raise SpecError(f"FILE must be writable, got {str(file)!r}: {reason_of(error)}") from None
    if not ours:
        what = "which is no report of cogexp" if stat.S_ISREG(about.st_mode) else "which is no regular file"
        raise SpecError(
            f"FILE must be new or an earlier report, got {str(file)!r}, {what}; "
            f"nearest: {file.with_name(f'{file.stem}-report.html')}"
        )


def _is_report(file: Path) -> bool:
    with file.open("rb") as opened:
        head = opened.read(HEAD_BYTES)
    return MARKER in head or all(part in head for part in EARLIER)
