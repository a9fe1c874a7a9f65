"""The lean decoder against diffusers' own on a CPU: `pytest -m bench -s tests/bench/test_decode_cpu.py`."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from cogexp.engine.decode import decode_stream
from cogexp.nano import weights


@pytest.mark.bench
def test_cpu_seconds_of_a_512x288x9_clip() -> None:
    vae = weights.components(("vae",))["vae"]
    latents = torch.randn(1, 3, 16, 36, 64, generator=torch.Generator().manual_seed(0))
    spent: dict[bool, list[float]] = {False: [], True: []}
    frames = {}
    for lean in (True, False, True, False):
        began = time.process_time()
        frames[lean] = np.concatenate(list(decode_stream(vae, latents, lean=lean)))
        spent[lean].append(time.process_time() - began)
    stock, ours = min(spent[False]), min(spent[True])
    print(
        f"\ndecode 512x288x9, CPU seconds: diffusers {stock:.2f}, lean {ours:.2f}, ratio {ours / stock:.2f}"
    )
    np.testing.assert_array_equal(frames[True], frames[False])
    assert ours < stock
