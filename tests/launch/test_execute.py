"""A run whose checkpoint cannot be had is opened in no tracker."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from cogexp.build import Request, build
from cogexp.engine import checkpoints
from cogexp.launch import execute
from cogexp.store import Keys, Store
from tests.launch.jobs import Said, requests

TRACKER = object()


@pytest.fixture
def trackers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The tracker of each run that is begun; none is run."""
    found: list[Any] = []
    monkeypatch.setattr(import_module("cogexp.run"), "run", lambda *_, tracker, **__: found.append(tracker))
    monkeypatch.setattr(execute, "tracker_of", lambda *_: TRACKER)
    monkeypatch.setattr(checkpoints, "_REFUSED", {})
    return found


def full_size(outputs: Path, **model: Any) -> Request:
    words = {"model": {"name": "cogvideox-2b", **model}, "prompt": {"text": "two wolves"}, "device": "cpu"}
    return build({**words, "outputs": str(outputs)})


def test_a_model_that_is_not_here_opens_no_run_in_a_tracker(tmp_path: Path, trackers: list[Any]) -> None:
    execute.execute(full_size(tmp_path), Said())
    assert trackers == [None]


def test_half_a_checkpoint_opens_none_either(tmp_path: Path, trackers: list[Any]) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "model_index.json").write_text("{}")
    execute.execute(full_size(tmp_path, path=str(folder)), Said())
    assert trackers == [None]


def test_what_needs_no_checkpoint_is_tracked(tmp_path: Path, trackers: list[Any]) -> None:
    execute.execute(requests(tmp_path, 1)[0], Said())
    execute.execute(full_size(tmp_path, weights="random"), Said())
    stored = full_size(tmp_path)
    frames = Store(tmp_path / "store", 0).path("decode", Keys.of(stored.spec).decode)
    frames.parent.mkdir(parents=True)
    frames.touch()
    execute.execute(stored, Said())
    assert trackers == [TRACKER] * 3
