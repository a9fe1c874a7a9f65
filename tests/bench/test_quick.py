"""`sweep=quick` from start to end beside the time of its twelve denoisings, made one after another."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

LIMIT = 1.2  # issue: the denoisings and 20 % more
# The denoise stage of each clip alone is what counts here: nothing else need be done.
DENOISINGS = ["hydra/launcher=basic", "upscaler=none", "metrics=none", "tracking=off"]


def run(outputs: Path, *words: str) -> tuple[float, float]:
    """Wall seconds and CPU seconds (of all its processes) of one sweep."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "cogexp", "sweep=quick", "device=cpu", f"outputs={outputs}", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, spent


@pytest.mark.bench
def test_quick_beside_its_denoisings(tmp_path: Path) -> None:
    """In turn: denoisings, quick, denoisings. The report and the decision are part of quick."""
    denoised = []
    for name in ("before", "quick", "after"):
        wall, cpu = run(tmp_path / name, *(DENOISINGS if name != "quick" else ()))
        found = [json.loads(file.read_text("utf-8")) for file in tmp_path.glob(f"{name}/runs/*/record.json")]
        own = [record["stages"]["denoise"] for record in found]
        seconds = sum(cost["seconds"] for cost in own if not cost["cached"])
        print(f"\n{name}: {len(found)} runs, {wall:.1f} s, {cpu:.1f} CPU s; denoise stages {seconds:.1f} s")
        if name == "quick":
            total = wall
            assert len(found) == 24
            assert (tmp_path / name / "reports" / "quick.html").is_file()
        else:
            denoised.append(seconds)
            assert len(found) == 12
    beside = sum(denoised) / len(denoised)
    print(f"quick {total:.1f} s, its denoisings {beside:.1f} s: ratio {total / beside:.2f} (limit {LIMIT})")
