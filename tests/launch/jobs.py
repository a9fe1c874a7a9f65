"""Jobs that only sleep, for engines: what they did is on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cogexp import record as records
from cogexp.build import Request, build
from cogexp.launch.execute import run_folder
from cogexp.record import Record


def requests(outputs: Path, seeds: int, **top: Any) -> list[Request]:
    """One request a seed, on the embedded model at 64x64."""
    return [
        build(
            {
                "model": {"name": "nano"},
                "prompt": {"text": "two wolves"},
                "resolution": {"width": 64, "height": 64},
                "seed": seed,
                "outputs": str(outputs),
                "device": "cpu",
                **top,
            }
        )
        for seed in range(seeds)
    ]


def finish(request: Request) -> None:
    """Write the record of a run that went well, with the process that did it."""
    import os

    record = Record(
        run_id=request.spec.run_id,
        status="ok",
        spec=request.spec.to_dict(),
        device={"type": "cpu", "pid": os.getpid()},
        started=records.now(),
        finished=records.now(),
    )
    records.write(record, run_folder(request))


def by_seed(outputs: Path) -> dict[int, Record]:
    """What was recorded."""
    return {record.spec["seed"]: record for record in records.load_many(outputs)}


class Said:
    """A progress that keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def stage(self, name: str, total: int | None) -> Any:
        raise AssertionError("engines show no bars of their own")
