"""End-to-end runs on the embedded model at 64x64, two steps: a second each, the same code as at full size."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cogexp import record as records
from cogexp.__main__ import main
from cogexp.record import Record
from cogexp.system import interrupts

SMALL = ["model=nano", "device=cpu", "resolution=64x64", "sampler.steps=2", "metrics=fast", "tracking=off"]


@pytest.fixture(autouse=True)
def _clean_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command line installs handlers of signals and sets argv: neither may leak into other tests."""
    monkeypatch.setattr(sys, "argv", ["cogexp"])
    with interrupts.preserved():
        yield
    from cogexp.engine.models import MODELS

    MODELS.free()


class Bench:
    """One outputs folder: run words in it and read what came out."""

    def __init__(self, outputs: Path) -> None:
        self.outputs = outputs

    def run(self, *words: str, small: bool = True) -> int:
        flags = [word for word in words if word.startswith("-")]
        rest = [word for word in words if not word.startswith("-")]
        return main([*flags, *(SMALL if small else []), f"outputs={self.outputs}", *rest])

    def records(self) -> list[Record]:
        return records.load_many(self.outputs, per_frame=True)

    def one(self) -> Record:
        (record,) = self.records()
        return record

    def folder(self, record: Record) -> Path:
        return self.outputs / "runs" / record.run_id


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "outputs")


@pytest.fixture
def new_bench(tmp_path: Path) -> Callable[[str], Bench]:
    return lambda name: Bench(tmp_path / name)
