"""`python -m cogexp`: which command, and its exit code.

0 done, 1 a run failed or something could not be written, 2 the request was wrong, 130 interrupted, 141 the
reader of the answer left (a closed pipe).
"""

from __future__ import annotations

import sys
from importlib import import_module

from cogexp.cli import help as texts
from cogexp.cli.words import parse_words
from cogexp.machine import before_torch
from cogexp.spec import SpecError
from cogexp.system import faults, interrupts, streams
from cogexp.system.network import Unavailable
from cogexp.system.redact import redact
from cogexp.system.text import brief, shortened

# Commands that make runs and files: their exit code tells of those.
MAKING = ("agent", "dashboard", "fetch", "optimize", "report")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    with streams.guarded() as (out, err):
        before_torch()
        code = streams.exit_code(_answered(words), out, answers=_answers(words))
        if err.unwritten:
            streams.say(f"cogexp: {err.unwritten} lines could not be written here before")
        return code


def _answered(words: list[str]) -> int:
    """What the command answers; a fault of the request, the disk or the memory is one line."""
    try:
        _require_text(words)
        return _dispatch(words)
    except SpecError as error:
        streams.say(f"cogexp: {brief(redact(str(error)))}")
        return 2
    except Unavailable as error:
        streams.say(f"cogexp: {brief(redact(str(error)))}")
        return 1
    except KeyboardInterrupt:
        return interrupts.EXIT_CODE
    except (OSError, MemoryError) as error:
        if "debug=true" in words:
            raise
        streams.say(f"cogexp: {faults.described(error)}")
        return 1


def _answers(words: list[str]) -> bool:
    """Whether standard output is what was asked for: else it only tells of runs and files that are made."""
    if any(word in ("-h", "--help", "--version", "--cfg", "--info") for word in words):
        return True
    return bool(words) and words[0] in texts.COMMANDS and words[0] not in MAKING


def _require_text(words: list[str]) -> None:
    """Refuse bytes that are no text: they could stand in no record and on no page."""
    for word in words:
        if not word.isascii() and any("\ud800" <= letter <= "\udfff" for letter in word):
            raise SpecError(
                f"every word must be UTF-8 text, got {shortened(word)!r}; rename the file or retype it"
            )


def _dispatch(words: list[str]) -> int:
    """Import only what the command needs: --help and --version answer at once."""
    command = words[0] if words and words[0] in texts.COMMANDS else ""
    rest = words[1:] if command else words
    if "--version" in rest:
        from cogexp import __version__

        print(f"cogexp {__version__}")
        return 0
    if any(word in ("-h", "--help") for word in rest):
        print(_help(command), end="")
        return 0
    if command:
        # One module a command, named like it: only that one is imported.
        code: int = import_module(f"cogexp.cli.{command}").command(rest)
        return code
    from cogexp.cli import hydra_options, runs

    parsed = parse_words(rest)
    return hydra_options.ask_hydra(parsed, rest) if parsed.passthrough else runs.command(parsed)


def _help(command: str) -> str:
    from cogexp.cli.paths import conf_dir

    return str(getattr(texts, command.upper())) if command else texts.main_help(conf_dir())


if __name__ == "__main__":
    sys.exit(main())
