"""The hub's client pointed at a server of the test, with short times."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import constants, file_download, utils

from cogexp.engine import checkpoints
from cogexp.system import hub

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture
def point_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Let huggingface_hub ask this address, with an empty cache, and give up soon."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in {
        "HF_HUB_OFFLINE": False,
        "HF_HUB_CACHE": str(tmp_path / "hub"),
        "HF_HUB_ETAG_TIMEOUT": 0.3,
        "HF_HUB_DOWNLOAD_TIMEOUT": 0.3,
        "HF_HUB_DISABLE_XET": True,
        "DOWNLOAD_CHUNK_SIZE": 500,  # what a cut costs: the client writes whole chunks
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr(hub, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "torch"))
    # Its client waits a second between trials.
    clock: Any = SimpleNamespace(
        **{name: getattr(time, name) for name in ("time", "monotonic", "perf_counter")}
    )
    clock.sleep = lambda seconds: None
    monkeypatch.setattr(file_download, "time", clock)
    monkeypatch.setattr(checkpoints, "_REFUSED", {})

    def point(url: str) -> None:
        monkeypatch.setattr(constants, "ENDPOINT", url)
        template = url + "/{repo_id}/resolve/{revision}/{filename}"
        for module in (constants, file_download):  # older clients copied it
            monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        _new_session()

    yield point
    _new_session()


def _new_session() -> None:
    """The client reads proxies once, when it is made."""
    renew = getattr(utils, "close_session", None) or utils._http.reset_sessions
    renew()
