"""The workspace and the report of a study that were saved before: changed, not made a second time."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from cogexp.storage.durable import make_folder
from cogexp.storage.foreign_data import ForeignDataError, read_json
from cogexp.storage.lock import Lock
from cogexp.whole import write_whole

log = logging.getLogger("cogexp")

FILE = "wandb-saved.json"
# What a study gives each kind anew; the rest (who may see it, its address) stays.
_CONTENT = {
    "workspace": ("name", "sections", "settings", "runset_settings"),
    "report": ("title", "description", "blocks", "width"),
}


def key_of(kind: str, entity: str, project: str, study: str | None) -> str:
    """What an address is kept under."""
    return "/".join((kind, entity, project, study or ""))


def addresses(folder: Path) -> dict[str, str]:
    """Addresses by `key_of`, as `remember` left them; none when the file is missing or damaged."""
    try:
        kept = read_json(folder / FILE)
    except FileNotFoundError:
        return {}
    except ForeignDataError as error:
        log.warning("saved addresses left out: %s: %s", folder / FILE, error)
        return {}
    if not isinstance(kept, dict):
        return {}
    return {
        key: url
        for key, url in kept.items()
        if isinstance(url, str) and url.startswith(("https://", "http://"))
    }


def remember(folder: Path, key: str, url: str) -> None:
    """Keep the address that something was saved at; one writer at a time."""
    make_folder(folder)
    with Lock((folder / FILE).with_suffix(".lock")):
        write_whole(folder / FILE, json.dumps({**addresses(folder), key: url}, indent=1))


def onto_saved(fresh: Any, kind: str, url: str | None) -> Any:
    """The saved workspace or report at `url` with the content of `fresh`; `fresh` where it is gone."""
    if not url:
        return fresh
    try:
        saved = type(fresh).from_url(url)
    # Broad on purpose: what W&B answers for a deleted view is no contract of its client.
    except Exception as error:  # noqa: BLE001
        log.debug("%s is not there any more: %s", url, error)
        return fresh
    for name in _CONTENT[kind]:
        setattr(saved, name, getattr(fresh, name))
    return saved
