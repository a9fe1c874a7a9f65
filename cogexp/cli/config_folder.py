"""A folder given with --config-path: others may have written it, so it is checked before Hydra reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cogexp.build import GROUPS
from cogexp.spec import SpecError
from cogexp.storage.foreign_data import ForeignDataError, read_yaml
from cogexp.storage.run_files import is_file

MOST_FILES = 1_000
CODE_KEYS = ("_target_", "_convert_", "_recursive_", "_partial_", "searchpath", "callbacks")


def check(folder: Path, name: str, word: str) -> None:
    """Refuse a folder that has no config of this name, or a file in it that Hydra could choke on.

    Raises:
        SpecError: it names the file and what is wrong with it: no YAML, too much of it, code to be run.
    """
    if not is_file(folder / f"{name}.yaml"):
        raise SpecError(f"--config-path must hold {name}.yaml, got {word!r}; a run's folder has one")
    for file in _files(folder):
        try:
            found = read_yaml(file)
        except (OSError, ForeignDataError) as error:
            raise SpecError(
                f"{file} {error}; --config-path reads the config.yaml of a run's folder"
            ) from None
        if file == folder / f"{name}.yaml" and not isinstance(found, dict):
            raise SpecError(f"{file} must hold keys with values; a run's folder has such a config.yaml")
        if key := _code(found):
            raise SpecError(f"{file} must hold values only, got the key {key!r}, with which Hydra runs code")


def _files(folder: Path) -> Iterator[Path]:
    """What Hydra may read from the folder for a request of ours."""
    count = 0
    for place in (folder, *(folder / group for group in (*GROUPS, "hydra", "hydra/launcher"))):
        for file in sorted(place.glob("*.yaml")):
            count += 1
            if count > MOST_FILES:
                raise SpecError(f"--config-path must hold at most {MOST_FILES} files, got {str(folder)!r}")
            yield file


def _code(found: Any) -> str | None:
    """The first key with which Hydra would import or run something."""
    if isinstance(found, dict):
        for key, value in found.items():
            if key in CODE_KEYS:
                return str(key)
            if inner := _code(value):
                return inner
    if isinstance(found, list):
        return next((inner for value in found if (inner := _code(value))), None)
    return None
