"""Log lines of a process that runs jobs: plain sentences on stderr, the details in each run's log.txt."""

from __future__ import annotations

import logging
import os

from cogexp.system import streams
from cogexp.system.redact import redact
from cogexp.system.text import visible


class _Plain(logging.Handler):
    """Log lines on stderr as plain sentences; the details are in log.txt."""

    def emit(self, record: logging.LogRecord) -> None:
        text = redact(record.getMessage())
        if record.exc_info:
            text += "\n" + redact(logging.Formatter().formatException(record.exc_info))
        streams.say(visible(text))


def show_log_lines(debug: bool) -> None:
    """Warnings and errors of cogexp go to stderr; with debug everything, tracebacks too."""
    logger = logging.getLogger("cogexp")
    logger.setLevel(logging.DEBUG)  # tracebacks always reach log.txt
    logger.propagate = False
    handler = _Plain(logging.DEBUG if debug else logging.WARNING)
    logger.handlers = [h for h in logger.handlers if not isinstance(h, _Plain)] + [handler]
    logging.raiseExceptions = False  # a full disk is told once, not by every handler
    logging.captureWarnings(True)  # libraries' warnings go into log.txt, not between the bars
    logging.getLogger("py.warnings").propagate = False
    # torch remarks on how other libraries (torchao) register their types: nothing a user can change.
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "0")
