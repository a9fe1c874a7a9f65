"""What each stage costs: seconds, and peaks (GiB) of GPU memory, allocated and reserved, and of RSS."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch

GIB = 2**30
ORDER = ("load", "encode", "denoise", "decode", "upscale", "measure", "write")


class Meter:
    """Adds up time and takes the highest peaks per stage; stages may be entered many times, not nested.

    `stages` has the keys of record.json. `current` names the stage entered last: where an error came from.
    """

    def __init__(self, device: str, made: Collection[str] = ()) -> None:
        """made: the stages that another process made for this very run, so that the run bears their cost."""
        self._made = frozenset(made)
        self.stages: dict[str, dict[str, Any]] = {}
        self.current = "load"
        self._cuda = torch.device(device) if device.startswith("cuda") else None

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Measure the block as (a part of) `stage`."""
        self.current = stage
        cost = self.stages.setdefault(
            stage,
            {
                "seconds": 0.0,
                "cached": False,
                "peak_allocated_gib": None,
                "peak_reserved_gib": None,
                "rss_gib": 0.0,
            },
        )
        _reset_peak_rss()
        if self._cuda is not None:
            torch.cuda.synchronize(self._cuda)
            torch.cuda.reset_peak_memory_stats(self._cuda)
        started = time.perf_counter()
        try:
            yield
        finally:
            if self._cuda is not None:
                torch.cuda.synchronize(self._cuda)
                for key, peak in (
                    ("peak_allocated_gib", torch.cuda.max_memory_allocated(self._cuda)),
                    ("peak_reserved_gib", torch.cuda.max_memory_reserved(self._cuda)),
                ):
                    cost[key] = max(cost[key] or 0.0, peak / GIB)
            cost["seconds"] += time.perf_counter() - started
            cost["rss_gib"] = max(cost["rss_gib"], _peak_rss() / GIB)

    def in_order(self) -> dict[str, dict[str, Any]]:
        """The stages in the order of the data, whatever order they were entered in."""
        return {name: self.stages[name] for name in ORDER if name in self.stages}

    def reuse(self, stage: str, cost: dict[str, Any]) -> None:
        """`stage` came out of the store: record what it cost when it ran."""
        self.stages[stage] = {**cost, "cached": stage not in self._made}


def _reset_peak_rss() -> None:
    """Start a new high-water mark where the kernel can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", "utf-8")
    except OSError:
        return


def _peak_rss() -> int:
    """Peak resident bytes since the last reset, or the present ones where the kernel keeps no mark."""
    try:
        for line in Path("/proc/self/status").read_text("utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return int(psutil.Process().memory_info().rss)
