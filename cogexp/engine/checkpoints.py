"""Where a public checkpoint lies on disk: found, completed from the hub, and checked before it is loaded."""

from __future__ import annotations

import logging
import operator
import os
from pathlib import Path

from cogexp.spec import ModelSpec
from cogexp.storage.checkpoint_code import code_asked_by
from cogexp.storage.foreign_data import MEGABYTE, ForeignDataError, parse_json, read_json

log = logging.getLogger("cogexp")

# Only these are fetched: no pickled weights, no code.
PATTERNS = ["*.json", "*.safetensors", "*.model", "*.txt", "*.md", "LICENSE*"]
PARTS = ("transformer", "vae", "text_encoder")


class MissingCheckpoint(RuntimeError):
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
    log.info("downloading %s into the hub's cache (once); Ctrl-C and start again resumes", model.source)
    return download(model)


def in_cache(model: ModelSpec) -> Path | None:
    """The complete snapshot in the hub's cache, or None. No network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(model.source, revision=model.revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return None if incomplete(folder) else folder


def download(model: ModelSpec) -> Path:
    """Fetch and check the whole checkpoint. Interrupted downloads resume."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    remedy = f"where there is a network: python -m cogexp fetch model={model.name}; or model.path=FOLDER"
    try:
        # One quick question first: the download itself would retry for minutes without a network.
        HfApi().model_info(str(model.source), revision=model.revision, timeout=5)
        folder = Path(snapshot_download(model.source, revision=model.revision, allow_patterns=PATTERNS))
    except HfHubHTTPError as error:
        raise MissingCheckpoint(f"the hub refused {model.source}: {_line(error)}; {remedy}") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise MissingCheckpoint(
            f"{model.source} is not on this machine and the hub cannot be reached; {remedy}"
        ) from error
    except Exception as error:
        # The hub's client moved from requests to httpx, whose errors have no common base class.
        if type(error).__module__.partition(".")[0] not in ("httpx", "httpcore", "requests"):
            raise
        raise MissingCheckpoint(
            f"{model.source} is not on this machine and the hub cannot be reached; {remedy}"
        ) from error
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
                problem = _broken(shard)
            except OSError as error:
                problem = f"cannot be read ({error.strerror or error})"
            if problem:
                return f"{part}/{shard.name} {problem}"
    return None


def _broken(shard: Path) -> str | None:
    """A shard whose size disagrees with its own header was cut off."""
    if not shard.is_file():
        return "is not a file"
    size = shard.stat().st_size
    with shard.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(size, 100 * MEGABYTE):  # the format's own limit of a header
            return "is not a safetensors file"
        try:
            header = parse_json(file.read(length).decode("utf-8"))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
            end = max((operator.index(one) for one in ends), default=0)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            return "is not a safetensors file"
    return None if 8 + length + end == size else "is cut off"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
