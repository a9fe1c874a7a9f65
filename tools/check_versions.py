"""Which versions of Python and of the libraries work: fresh environments, the usual commands, a table.

    python -m tools.check_versions --python 3.10 3.11 --resolution lowest-direct --folder DIR
    python -m tools.check_versions --python 3.12 3.13 --resolution highest --folder DIR --page PAGE

uv makes one environment at a time, with the extra `test` of this checkout, and it is removed afterwards.
Every command either works or is refused in one line that names the version that it needs; anything else is a
FAULT. Results stay below `--folder`, one JSON an environment; the table is of all that lie there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from tools.campaigns.harness import ROOT
from tools.versions.commands import CHECKS, Worker, expanded, judged
from tools.versions.table import RESOLUTIONS, SHOWN, Result, table, write_page


def install(python: str, options: argparse.Namespace, to: Path) -> str:
    """A fresh environment at `to` with this checkout, or a kept one brought up to date; its interpreter.

    Raises:
        subprocess.CalledProcessError: it cannot be made or a package cannot be installed.
    """
    if not to.is_dir():
        subprocess.run(["uv", "venv", "--quiet", "--python", python, str(to)], check=True)
    interpreter = to / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    command = ["uv", "pip", "install", "--quiet", "--python", str(interpreter)]
    command += ["--resolution", options.resolution]
    if options.find_links:
        command += ["--find-links", options.find_links]
    subprocess.run([*command, "--editable", f"{ROOT}[{options.extras}]", *options.added], check=True)
    return str(interpreter)


def versions(interpreter: str) -> dict[str, str]:
    """Python's version and those of the libraries that the table shows."""
    script = (
        "import json, platform, importlib.metadata as m; "
        "print(json.dumps({'python': platform.python_version()} | "
        "{d.metadata['Name'].lower(): d.version for d in m.distributions()}))"
    )
    done = subprocess.run([interpreter, "-c", script], check=True, capture_output=True, text=True)
    installed = json.loads(done.stdout)
    return {name: installed[name] for name in ("python", *SHOWN) if name in installed}


def check(interpreter: str, folder: Path, only: Sequence[str], timeout_s: float) -> Iterator[tuple[str, str]]:
    """Every command in `folder`, and what came of it."""
    with Worker(interpreter, folder) as worker:
        for name, words in CHECKS.items():
            if not only or any(part in name for part in only):
                outcome = worker.run(name, list(expanded(words, folder)), timeout_s)
                print(f"  {name}: {judged(outcome)} ({outcome.seconds:.0f} s)", file=sys.stderr, flush=True)
                yield name, judged(outcome)


def tested(interpreter: str, paths: Sequence[str]) -> str:
    """The suite collected, or the tests below `paths` run: pytest's closing line."""
    asked = [*paths, "-n", "0"] if paths else ["--collect-only"]
    command = [interpreter, "-m", "pytest", "-q", "-p", "no:cacheprovider", *asked]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    last = next(iter(reversed(done.stdout.strip().splitlines())), "no output").strip("= ")
    return ("" if done.returncode == 0 else "FAULT: ") + re.sub(r" in [\d.]+s.*", "", last)


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", nargs="*", default=[], help="versions, as uv takes them")
    parser.add_argument("--resolution", choices=tuple(RESOLUTIONS), default="lowest-direct")
    parser.add_argument("--folder", type=Path, required=True, help="where everything is written")
    parser.add_argument("--only", nargs="*", default=[], help="only commands with one of these in their name")
    parser.add_argument("--extras", default="test", help="of this package (default: %(default)s)")
    parser.add_argument("--with", dest="added", action="append", default=[], help="one more requirement")
    parser.add_argument("--find-links", default="", help="a folder with wheels for --with")
    parser.add_argument("--tests", nargs="*", default=[], help="tests to run (default: all are collected)")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds a command (a hang is a fault)")
    parser.add_argument("--keep", action="store_true", help="leave the environments below --folder")
    parser.add_argument("--page", type=Path, help="a Markdown page whose marked part becomes the table")
    return parser.parse_args()


def examine(python: str, options: argparse.Namespace) -> Result:
    """One environment from its making to its removal."""
    folder: Path = options.folder.resolve()
    result = Result(python=python, resolution=options.resolution, added=options.added)
    file, home = folder / f"{result.slug}.json", folder / "environments" / result.slug
    if options.only and file.is_file():
        result = Result.read(file)
    print(f"{result.name}: installing", file=sys.stderr, flush=True)
    interpreter = install(python, options, home)
    result.versions = versions(interpreter)
    work = folder / result.slug
    work.mkdir(parents=True, exist_ok=True)
    for command, outcome in check(interpreter, work, options.only, options.timeout):
        result.outcomes[command] = outcome
        file.write_text(json.dumps(asdict(result), indent=1), encoding="utf-8")
    if not options.only or options.tests:
        result.tests = tested(interpreter, options.tests)
    file.write_text(json.dumps(asdict(result), indent=1), encoding="utf-8")
    if not options.keep:
        shutil.rmtree(home)
    return result


def main() -> int:
    """1 when a command is a fault in any of the environments."""
    options = arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    faults = [fault for python in options.python for fault in examine(python, options).faults]
    text = table(sorted(map(Result.read, options.folder.glob("*.json")), key=lambda one: one.order))
    print(text)
    if options.page:
        write_page(options.page, text)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
