"""The lean decoder against diffusers' own on a CPU: `pytest -m bench -s tests/bench/test_decode_cpu.py`."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from cogexp.engine.decode import decode_stream
from cogexp.nano import weights


def decode_in_turn(height: int, width: int, rounds: int) -> dict[bool, float]:
    """CPU seconds of nine frames from latents of height x width, the best of all rounds; key: lean."""
    vae = weights.components(("vae",))["vae"]
    latents = torch.randn(1, 3, 16, height, width, generator=torch.Generator().manual_seed(0))
    spent: dict[bool, list[float]] = {False: [], True: []}
    frames = {}
    for lean in (True, False) * rounds:
        began = time.process_time()
        frames[lean] = np.concatenate(list(decode_stream(vae, latents, lean=lean)))
        spent[lean].append(time.process_time() - began)
    np.testing.assert_array_equal(frames[True], frames[False])
    return {lean: min(seconds) for lean, seconds in spent.items()}


@pytest.mark.bench
def test_cpu_seconds_of_a_512x288x9_clip() -> None:
    best = decode_in_turn(36, 64, rounds=2)
    stock, ours = best[False], best[True]
    print(
        f"\ndecode 512x288x9, CPU seconds: diffusers {stock:.2f}, lean {ours:.2f}, ratio {ours / stock:.2f}"
    )


def test_in_short_both_give_the_same_frames() -> None:
    decode_in_turn(8, 8, rounds=1)
