"""Shared by all tests: nothing reaches a network, a W&B account or a GPU unless a test asks for it.

Nor does what a developer's shell, terminal or git hook has in its environment.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest

from cogexp.machine import before_torch
from cogexp.system import host_memory
from cogexp.tracking import wandb_tracker
from tests import browser as browsers
from tests.system.machines import make_machine
from tests.waiting import PATIENCE

# Colours and the width of tables; a cluster; W&B's own settings; the repository that a hook of git works on.
SHELL = ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "CLICOLOR", "TTY_", "RAY_ADDRESS", "WANDB_", "GIT_")

# Before any library reads them. A developer's key must never turn a test into an upload.
for name in [name for name in os.environ if name.startswith(SHELL)]:
    del os.environ[name]
os.environ["WANDB_MODE"] = "offline"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores: one thread each, in what they start too, so that frames are equal to the bit.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
before_torch()
for secret in ("WANDB_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
    os.environ.pop(secret, None)


def pytest_configure(config: pytest.Config) -> None:
    """Without `-m gpu` there is no GPU: device=auto and model=auto mean the same on every machine."""
    asked = config.option.markexpr
    if asked and ("gpu" not in asked or "not gpu" in asked):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_finish() -> None:
    """What the test files imported is there to stay: no search for garbage looks through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _slow_services_are_waited_for() -> None:
    """W&B's service process is given up sooner by who works than by a test on a busy machine."""
    for name in ("INIT_SECONDS", "OPEN_SECONDS", "PROGRESS_SECONDS", "UPLOAD_SECONDS", "FINISH_SECONDS"):
        setattr(wandb_tracker, name, PATIENCE)


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
