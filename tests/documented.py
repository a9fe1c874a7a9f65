"""What README.md and docs/ show of the command line: whole commands, and words in code spans."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PLACEHOLDERS = re.compile(r"\.\.\.|[|\[\]]|\b[A-Z][A-Z_]{3,}\b")  # a, b | c, [--json], FOLDER


def commands() -> list[list[str]]:
    """The words after `python -m cogexp`, of every command in a block or a code span, each once."""
    found: dict[tuple[str, ...], None] = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        lines = re.findall(r"^(?:.*&& \S*/)?python -m cogexp (.*)$", text, flags=re.MULTILINE)
        lines += re.findall(r"`python -m cogexp ([^`]*)`", text)
        found |= dict.fromkeys(tuple(shlex.split(line, comments=True)) for line in lines)
    return [list(words) for words in found]


def spans() -> list[list[str]]:
    """Code spans that are nothing but key=value, each once; a launcher's option with its line's launcher."""
    found: dict[tuple[str, ...], None] = {}
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").splitlines():
            codes = [span.split() for span in re.findall(r"`([^`]+)`", line)]
            words = [code for code in codes if all(re.fullmatch(r"[\w./]+=\S+", word) for word in code)]
            launcher = [word for code in words for word in code if word.startswith("hydra/launcher=")][:1]
            for code in words:
                lacks = any(word.startswith("hydra.launcher.") for word in code) and launcher
                found[tuple(launcher + code if lacks and launcher[0] not in code else code)] = None
    return [list(words) for words in found]


def has_placeholder(words: list[str]) -> bool:
    """Whether something stands for what a reader puts there."""
    return any(PLACEHOLDERS.search(word) for word in words)
