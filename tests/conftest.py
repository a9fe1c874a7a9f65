"""Shared by all tests: nothing reaches a network, a W&B account or a GPU unless a test asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from cogexp.machine import before_torch
from cogexp.system import host_memory
from tests import browser as browsers
from tests.system.machines import make_machine

# Before any library reads them. A developer's key must never turn a test into an upload.
os.environ["WANDB_MODE"] = "offline"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores: one thread each, in what they start too, so that frames are equal to the bit.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
before_torch()
for secret in ("WANDB_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
    os.environ.pop(secret, None)


@pytest.fixture(autouse=True)
def _no_checkpoints(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in a developer's caches must not decide a test."""
    empty = tmp_path_factory.getbasetemp() / "no-hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(empty))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.getbasetemp() / "no-torch-hub"))


@pytest.fixture(autouse=True)
def _main_memory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What else this machine is doing must not decide a test: to the checks it has 64 GiB."""
    root = tmp_path_factory.getbasetemp() / "machine"
    if not root.exists():
        make_machine(root, total_gib=64, available_gib=64)
    monkeypatch.setattr(host_memory, "ROOT", root)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One headless Chromium for all tests of pages; they are skipped where there is none."""
    with browsers.launched() as opened:
        yield opened
