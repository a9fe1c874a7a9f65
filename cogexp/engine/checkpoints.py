"""Where a public checkpoint lies on disk: found, completed from the hub, and checked before it is loaded."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from cogexp.spec import ModelSpec
from cogexp.storage.checkpoint_code import code_asked_by
from cogexp.storage.foreign_data import ForeignDataError, read_json
from cogexp.system import hub
from cogexp.system.faults import reason_of
from cogexp.system.network import NetworkError, Unavailable

log = logging.getLogger("cogexp")

# Only these are fetched: no pickled weights, no code.
PATTERNS = ["*.json", "*.safetensors", "*.model", "*.txt", "*.md", "LICENSE*"]
PARTS = ("transformer", "vae", "text_encoder")
AGAIN_SECONDS = 60.0  # a checkpoint that could not be had is not asked for again before

_REFUSED: dict[tuple[str | None, str | None], tuple[float, str]] = {}


class MissingCheckpoint(Unavailable):
    """The checkpoint is not on this machine and cannot be had; the message says what helps."""


def locate(model: ModelSpec) -> Path:
    """The folder of a complete checkpoint; downloads it when it is a hub id that is not here yet.

    Raises:
        MissingCheckpoint: it is not here and the hub cannot be reached, or the folder is incomplete.
    """
    assert model.source is not None
    if os.path.isabs(model.source):
        folder = Path(model.source)
        if problem := incomplete(folder):
            raise MissingCheckpoint(f"the checkpoint in {folder} is incomplete: {problem}")
        return folder
    here = in_cache(model)
    if here is not None:
        return here
    key = (model.source, model.revision)
    when, why = _REFUSED.get(key, (0.0, ""))
    if why and time.monotonic() - when < AGAIN_SECONDS:
        raise MissingCheckpoint(why)  # the runs of a sweep do not wait for the same silent server each
    log.info("downloading %s into the hub's cache (once); Ctrl-C and start again resumes", model.source)
    try:
        return download(model)
    except MissingCheckpoint as error:
        _REFUSED[key] = (time.monotonic(), str(error))
        raise


def in_cache(model: ModelSpec) -> Path | None:
    """The complete snapshot in the hub's cache, or None. No network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        # With the patterns: newer clients know all files of the repository and miss what is never fetched.
        found = snapshot_download(
            model.source, revision=model.revision, local_files_only=True, allow_patterns=PATTERNS
        )
    except LocalEntryNotFoundError:
        return None
    folder = Path(found)
    return None if incomplete(folder) else folder


def download(model: ModelSpec) -> Path:
    """Fetch and check the whole checkpoint. Interrupted downloads resume.

    Raises:
        MissingCheckpoint: with the cause and the command that helps.
    """
    remedy = f"where there is a network: python -m cogexp fetch model={model.name}; or model.path=FOLDER"
    try:
        folder = hub.snapshot(str(model.source), model.revision, PATTERNS, remedy=remedy)
    except NetworkError as error:
        raise MissingCheckpoint(str(error)) from error
    if problem := incomplete(folder):
        raise MissingCheckpoint(f"the download of {model.source} is incomplete: {problem}; {remedy}")
    return folder


def incomplete(folder: Path) -> str | None:
    """What a checkpoint folder lacks, or None. Reads indexes and headers, not weights."""
    if not (folder / "model_index.json").is_file():
        return "model_index.json is missing"
    if code := code_asked_by(folder):
        return f"{code}, and no code of a checkpoint is run"
    for part in PARTS:
        shards = sorted((folder / part).glob("*.safetensors"))
        for index in (folder / part).glob("*.safetensors.index.json"):
            try:
                names = set(map(str, read_json(index)["weight_map"].values()))
            except (OSError, ForeignDataError, KeyError, TypeError, AttributeError):
                return f"{part}/{index.name} is not an index of shards"
            if lacking := sorted(names - {shard.name for shard in shards}):
                return f"{part}/{lacking[0]} is missing"
        if not shards:
            return f"{part} has no .safetensors file"
        for shard in shards:
            try:
                problem = hub.damage(shard)
            except OSError as error:
                problem = f"cannot be read ({reason_of(error)})"
            if problem:
                return f"{part}/{shard.name} {problem}"
    return None
