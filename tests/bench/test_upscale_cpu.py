"""What a frame costs on a CPU: upscaler=esrgan, the same network in plain PyTorch, and ncnn's runtime.

Run with: pytest -m bench -s tests/bench/test_upscale_cpu.py
CPU seconds are those of all threads of the process; the four take turns, and medians are shown.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import spandrel
import torch

from cogexp.spec import UpscalerSpec
from cogexp.upscale import esrgan, load_upscaler, ncnn_weights
from tests.upscale.pictures import photograph

THREADS, ROUNDS = 2, 5
HEIGHT, WIDTH = 288, 512


def by_ncnn(frame: np.ndarray) -> Callable[[], object]:
    """ncnn's runtime with its default options on the same weights."""
    ncnn = pytest.importorskip("ncnn")
    stem = str(ncnn_weights.folder() / esrgan.REALESRGAN["esrgan"].stem)
    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = THREADS
    net.load_param(stem + ".param")
    net.load_model(stem + ".bin")

    def run() -> np.ndarray:
        extractor = net.create_extractor()
        picture = np.ascontiguousarray(frame.transpose(2, 0, 1), np.float32) / 255
        extractor.input("data", ncnn.Mat(picture).clone())
        large = np.array(extractor.extract("output")[1])
        return np.rint(large.clip(0, 1) * 255).astype(np.uint8)

    return run


def by_torch(frame: np.ndarray) -> Callable[[], object]:
    """The module as spandrel loads it, channels last."""
    state = ncnn_weights.compact(ncnn_weights.folder() / esrgan.REALESRGAN["esrgan"].stem)
    network = spandrel.ModelLoader().load_from_state_dict(state)
    network.model.eval().to(memory_format=torch.channels_last)

    def run() -> torch.Tensor:
        picture = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255
        return (network(picture.contiguous(memory_format=torch.channels_last)) * 255).round().byte()

    return run


def ways_to_enlarge(frame: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Each gives the frame four times as large, in its own layout."""
    ours, lanczos = (load_upscaler(UpscalerSpec(name=name), "cpu") for name in ("esrgan", "lanczos"))
    return {
        "ncnn": by_ncnn(frame),
        "esrgan": lambda: ours(frame[None]),
        "plain torch": by_torch(frame),
        "lanczos": lambda: lanczos(frame[None]),
    }


@pytest.fixture
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


@pytest.mark.bench
@pytest.mark.usefixtures("_two_threads")
def test_cost_of_a_frame(capsys: pytest.CaptureFixture[str]) -> None:
    frame = np.ascontiguousarray(np.tile(photograph(HEIGHT, WIDTH // 2), (1, 2, 1)))
    ways = ways_to_enlarge(frame)
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 1):
        for name, run in ways.items():
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            if turn:  # the first warms up
                spent[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    with capsys.disabled():
        print(f"\n{WIDTH}x{HEIGHT} to x4, {THREADS} threads, median of {ROUNDS}")
        print(f"{'':14}{'CPU s/frame':>12}{'wall s/frame':>14}{'to ncnn':>10}")
        reference = statistics.median(cpu for cpu, _ in spent["ncnn"])
        for name, times in spent.items():
            cpu, wall = (statistics.median(column) for column in zip(*times, strict=True))
            print(f"{name:14}{cpu:12.2f}{wall:14.2f}{cpu / reference:10.2f}")


@pytest.mark.usefixtures("_two_threads")
def test_in_short_all_three_ways_give_the_same_picture() -> None:
    """Within a level for PyTorch, and within what ncnn's half precision may differ."""
    made = {name: np.asarray(run()) for name, run in ways_to_enlarge(photograph(24, 32)).items()}
    ours, torchs, ncnns = made["esrgan"][0].astype(int), made["plain torch"][0], made["ncnn"]
    assert made["lanczos"].shape == made["esrgan"].shape == (1, 96, 128, 3)
    assert np.abs(ours - torchs.transpose(1, 2, 0)).max() <= 1
    assert np.abs(ours - ncnns.transpose(1, 2, 0)).mean() < 1
