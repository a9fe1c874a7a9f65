"""The framework's wall time against a plain diffusers script with the same components, in turn."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cogexp.__main__ import main
from tests.bench import plain
from tests.e2e.conftest import _clean_process  # noqa: F401 - for the command line in this process

ROUNDS = 3


def words(outputs: Path, width: int, height: int, steps: int) -> list[str]:
    """The same clip by the command line; what may have another default one day is stated."""
    return [
        "model=nano", "device=cpu", f"resolution={width}x{height}", "sampler=ddim", f"sampler.steps={steps}",
        f"sampler.guidance={plain.GUIDANCE}", "upscaler=none", "metrics=none", "tracking=off",
        f"outputs={outputs}", f"prompt.text={plain.TEXT}",
    ]  # fmt: skip


def clip_of(outputs: Path) -> bytes:
    (file,) = outputs.glob("runs/*/native.mp4")
    return file.read_bytes()


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


@pytest.mark.bench
def test_wall_time_beside_a_plain_script(tmp_path: Path) -> None:
    ratios = []
    for index in range(ROUNDS):
        script, outputs = tmp_path / f"{index}.mp4", tmp_path / str(index)
        theirs = seconds([sys.executable, plain.__file__, str(script), "512", "288", "20"])
        ours = seconds([sys.executable, "-m", "cogexp", *words(outputs, 512, 288, 20)])
        ratios.append(ours / theirs)
        print(f"\nplain {theirs:.1f} s, cogexp {ours:.1f} s, ratio {ratios[-1]:.3f}")
        assert clip_of(outputs) == script.read_bytes(), "not the same frames"
    print(f"median ratio {statistics.median(ratios):.3f} of {ROUNDS} rounds")


def test_in_short_both_make_the_same_clip(tmp_path: Path) -> None:
    plain.write(str(tmp_path / "plain.mp4"), 64, 64, 2)
    assert main(words(tmp_path / "outputs", 64, 64, 2)) == 0
    assert clip_of(tmp_path / "outputs") == (tmp_path / "plain.mp4").read_bytes()
