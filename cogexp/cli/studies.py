"""Ready studies: `sweep=NAME` stands for the words in sweeps/NAME.yaml, before those of the user.

A file has `params` (key: value, a list of values, or anything in Hydra's sweep grammar, such as range(0,3))
and perhaps `pick`, the words of the decision at its end. What the user sets replaces the study's axis.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from cogexp.cli.paths import sweeps_dir
from cogexp.spec import SpecError
from cogexp.storage.foreign_data import ForeignDataError, read_yaml

KEYS = ("params", "pick")
# A study's axis that makes no sense any more once the user has set this key.
REPLACED_BY = {"prompt.text": "prompt", "model.path": "model"}


@dataclass(frozen=True, kw_only=True)
class StudyFile:
    """One file of sweeps/: Hydra words for the runs, and the words of `pick` for the decision."""

    name: str
    params: dict[str, str]
    pick: tuple[str, ...] = ()

    def words(self, given: Iterable[str]) -> list[str]:
        """The study's words that leave to the user what the user has `given` (keys)."""
        keys = set(given)
        keys |= {REPLACED_BY[key] for key in keys & REPLACED_BY.keys()}
        return [f"{key}={value}" for key, value in self.params.items() if key not in keys]


def names() -> list[str]:
    """The ready studies, by name."""
    return sorted(file.stem for file in sweeps_dir().glob("*.yaml"))


def purposes() -> dict[str, str]:
    """Name -> the first comment line of its file. Standard library only: --help shows it."""
    return {name: _file(name).read_text(encoding="utf-8").partition("\n")[0][2:] for name in names()}


def load(name: str) -> StudyFile:
    """The study `name`.

    Raises:
        SpecError: there is none of this name (the message lists them), or its file is none.
    """
    known = names()
    if name not in known:
        near = get_close_matches(name, known, n=1, cutoff=0.4) or ["quick"]
        raise SpecError(f"sweep must be one of {', '.join(known)}, got {name!r}; nearest: {near[0]}")
    # Every value as the text that it is: YAML would read no as false and 0x288 as 648.
    try:
        content = read_yaml(_file(name), as_text=True)
    except (OSError, ForeignDataError) as error:
        raise SpecError(f"sweeps/{name}.yaml {error}; it must have params and may have pick") from None
    unknown = sorted(set(content) - set(KEYS)) if isinstance(content, dict) else ["no keys"]
    picks = content.get("pick", []) if isinstance(content, dict) else []
    legal = isinstance(picks, list) and all(isinstance(word, str) for word in picks)
    if unknown or not legal or not isinstance(content.get("params"), dict):
        raise SpecError(f"sweeps/{name}.yaml must have params and may have pick, got {', '.join(unknown)}")
    params = {str(key): _value(value) for key, value in content["params"].items()}
    return StudyFile(name=name, params=params, pick=tuple(content.get("pick", ())))


def _file(name: str) -> Path:
    return sweeps_dir() / f"{name}.yaml"


def _value(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
