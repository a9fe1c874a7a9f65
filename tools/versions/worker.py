"""The inside of an environment that `tools.check_versions` examines: commands one after the other in one
process, because loading torch and diffusers takes longer than most of them.

Each line on stdin is `[words, file]`; the command's stdout goes to `file`.out, its stderr to `file`.err, and
its exit code, as a line, to this process's stdout.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path


def attempt(words: list[str], file: Path) -> int:
    """The exit code of `python -m cogexp WORDS`; an exception is printed as Python would."""
    kept = [os.dup(1), os.dup(2)]
    try:
        for number, ending in ((1, ".out"), (2, ".err")):
            with open(f"{file}{ending}", "wb") as target:
                os.dup2(target.fileno(), number)
        return _called(words)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, stream in enumerate(kept, 1):
            os.dup2(stream, number)
            os.close(stream)


def _called(words: list[str]) -> int:
    from cogexp.__main__ import main

    try:
        return main(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 what ends a process ends this command only
        traceback.print_exc()
        return 1


def serve() -> None:
    """Answer every line of stdin; the commands themselves have none."""
    lines, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w", buffering=1)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    for line in lines:
        words, file = json.loads(line)
        answers.write(f"{attempt(words, Path(file))}\n")


if __name__ == "__main__":
    serve()
