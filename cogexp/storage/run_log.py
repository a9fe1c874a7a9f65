"""log.txt of a run: what was logged while it went on, without keys and tokens."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from cogexp.system.faults import reason_of
from cogexp.system.redact import redact

log = logging.getLogger("cogexp")
LOGGERS = ("cogexp", "diffusers", "transformers", "py.warnings")


class RunLog:
    """log.txt of one run: everything that cogexp and the libraries say, without keys and tokens."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "log.txt"
        self._handler: _CountingHandler | None = None
        self._closed = ""

    @property
    def problem(self) -> str:
        """What the file lacks, in a few words; '' when it has everything."""
        missing = self._handler.missing if self._handler is not None else 0
        return self._closed or (f"{missing} lines could not be written" if missing else "")

    def open(self) -> None:
        """A log that cannot be written costs itself alone."""
        try:
            handler = _CountingHandler(self._path, mode="w", encoding="utf-8")
        except OSError as error:
            self._closed = f"it could not be opened: {reason_of(error)}"
            log.warning("log.txt: %s", self._closed)
            return
        handler.setFormatter(_Redacted("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
        self._handler = handler
        for name in LOGGERS:
            logging.getLogger(name).addHandler(handler)

    def close(self) -> None:
        if self._handler is None:
            return
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(self._handler)
        with suppress(OSError):  # what it still held does not fit on the disk
            self._handler.close()


class _CountingHandler(logging.FileHandler):
    """A log file that counts the lines that it could not take."""

    missing = 0

    def handleError(self, record: logging.LogRecord) -> None:
        self.missing += 1


class _Redacted(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))
