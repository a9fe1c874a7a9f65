"""The framework's wall time against a plain diffusers script with the same components, in turn."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

PLAIN = """
import sys, numpy as np, torch
from diffusers import CogVideoXPipeline
from diffusers.utils import export_to_video
from cogexp.nano import weights
pipeline = CogVideoXPipeline(**weights.components())
pipeline.set_progress_bar_config(disable=True)
frames = pipeline({text!r}, height=288, width=512, num_frames=9, num_inference_steps=20, guidance_scale=6.0,
    generator=torch.Generator().manual_seed(0), max_sequence_length=weights.MAX_SEQUENCE_LENGTH).frames[0]
from cogexp.video import Writer
with Writer(sys.argv[1], 8) as writer:
    writer.write(np.stack([np.asarray(frame) for frame in frames]))
"""
TEXT = "two wolves running through a snowy forest, a Disney-like sense of space"
ROUNDS = 3


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


@pytest.mark.bench
def test_wall_time_beside_a_plain_script(tmp_path: Path) -> None:
    ratios = []
    for index in range(ROUNDS):
        plain = seconds([sys.executable, "-c", PLAIN.format(text=TEXT), str(tmp_path / f"{index}.mp4")])
        words = ["model=nano", "device=cpu", "resolution=512x288", "sampler.steps=20", "upscaler=none"]
        words += ["metrics=none", "tracking=off", f"outputs={tmp_path / str(index)}", f"prompt.text={TEXT}"]
        ours = seconds([sys.executable, "-m", "cogexp", *words])
        ratios.append(ours / plain)
        print(f"\nplain {plain:.1f} s, cogexp {ours:.1f} s, ratio {ratios[-1]:.3f}")
        made = next(Path(tmp_path / str(index)).glob("runs/*/native.mp4"))
        assert made.read_bytes() == (tmp_path / f"{index}.mp4").read_bytes(), "not the same frames"
    print(f"median ratio {statistics.median(ratios):.3f} of {ROUNDS} rounds")
