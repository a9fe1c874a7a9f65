"""Whether a checkpoint asks for code of its own: transformers would import it, and with "yes" run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cogexp.storage.foreign_data import ForeignDataError, read_json

# transformers' key for classes in the checkpoint's own files; diffusers' for a pipeline of its own.
KEYS = ("auto_map", "custom_pipeline", "custom_pipelines")
LIBRARIES = ("diffusers", "transformers")
MOST_FILES = 200


def code_asked_by(folder: Path) -> str | None:
    """'tokenizer/tokenizer_config.json asks for code (auto_map)'; None for a folder of weights alone.

    Configurations that cannot be read are left to the library that loads them.
    """
    files = [*sorted(folder.glob("*.json")), *sorted(folder.glob("*/*.json"))]
    if len(files) > MOST_FILES:  # those that are not looked at could ask for anything
        return f"it has {len(files)} JSON files, of which at most {MOST_FILES} are checked for code"
    for file in files:
        if file.name.endswith((".index.json", "tokenizer.json", "vocab.json")):
            continue  # shards and vocabularies: large, and no configuration
        try:
            found = read_json(file, max_bytes=4_000_000)
        except (OSError, ForeignDataError):
            continue
        if isinstance(found, dict) and (key := _key(found, index=file.name == "model_index.json")):
            return f"{file.relative_to(folder).as_posix()} asks for code ({key})"
    return None


def _key(found: dict[str, Any], *, index: bool) -> str | None:
    for key in KEYS:
        if found.get(key):
            return key
    if not index:
        return None
    # {"transformer": ["diffusers", "CogVideoXTransformer3DModel"], ...}: another library is a file beside it.
    return next(
        (
            name
            for name, value in found.items()
            if isinstance(value, list)
            and len(value) == 2
            and isinstance(value[0], str)
            and value[0].partition(".")[0] not in LIBRARIES
        ),
        None,
    )
