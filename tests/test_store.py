"""The store: keyed by what matters, bounded, and never the reason that a run fails."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
import torch

from cogexp.build import build
from cogexp.spec import OptimizationSpec, RunSpec, UpscalerSpec
from cogexp.store import Keys, Store, calibration_key


@pytest.fixture
def spec() -> RunSpec:
    return build({"model": {"name": "nano"}, "device": "cpu", "prompt": {"text": "two wolves"}}).spec


def test_keys_depend_on_what_can_change_a_stage(spec: RunSpec) -> None:
    base = Keys.of(spec)
    upscaled = dataclasses.replace(spec, upscaler=UpscalerSpec(name="lanczos"))
    assert Keys.of(upscaled) == base
    tiled = Keys.of(dataclasses.replace(spec, optimization=OptimizationSpec(vae_tiling=True)))
    assert (tiled.encode, tiled.denoise) == (base.encode, base.denoise)
    edge = Keys.of(dataclasses.replace(spec, optimization=OptimizationSpec(vae_tiling="edge")))
    assert len({base.decode, tiled.decode, edge.decode}) == 3
    seeded = Keys.of(dataclasses.replace(spec, seed=1))
    assert seeded.encode == base.encode
    assert seeded.denoise != base.denoise
    cached = Keys.of(dataclasses.replace(spec, optimization=OptimizationSpec(cache="pab")))
    assert cached.denoise != base.denoise
    offloaded = Keys.of(dataclasses.replace(spec, optimization=OptimizationSpec(offload="model")))
    assert offloaded.denoise != base.denoise, "the same numbers at another cost, which travels with them"
    lean = Keys.of(dataclasses.replace(spec, optimization=OptimizationSpec(lean_vae=True)))
    stock = Keys.of(dataclasses.replace(spec, optimization=OptimizationSpec()))
    assert (lean.denoise, lean.decode != stock.decode) == (stock.denoise, True)
    assert calibration_key(spec) == calibration_key(
        dataclasses.replace(spec, optimization=dataclasses.replace(spec.optimization, offload="model"))
    )
    other = Keys.of(dataclasses.replace(spec, prompt=dataclasses.replace(spec.prompt, text="a fox")))
    assert other.encode != base.encode


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.uint8])
def test_tensors_come_back_bit_equal_with_their_cost(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.arange(24).reshape(2, 3, 4).to(dtype)
    store = Store(tmp_path, 1)
    store.save("denoise", "k" * 64, {"latents": tensor}, {"denoise": {"seconds": 3.5}})
    tensors, cost = store.load("denoise", "k" * 64) or ({}, {})
    assert torch.equal(tensors["latents"], tensor)
    assert cost == {"denoise": {"seconds": 3.5}}


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    store = Store(tmp_path, 5000e-9)
    for age, key in enumerate("abc"):
        store.save("denoise", key, {"x": torch.zeros(300)}, {})  # about 1.3 kB each
        os.utime(store.path("denoise", key), (1000 + age, 1000 + age))
    assert store.load("denoise", "a") is not None  # used now: b is the oldest
    store.save("denoise", "d", {"x": torch.zeros(600)}, {})
    assert [key for key in "abcd" if store.has("denoise", key)] == ["a", "c", "d"]


def test_a_damaged_file_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path, 1)
    store.save("denoise", "k", {"x": torch.zeros(8)}, {})
    path = store.path("denoise", "k")
    path.write_bytes(path.read_bytes()[:20])
    assert store.load("denoise", "k") is None
    assert not path.exists()
    assert "damaged" in caplog.text


def test_too_large_or_unwritable_costs_only_the_reuse(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Store(tmp_path, 1e-9).save("denoise", "k", {"x": torch.zeros(8)}, {})
    assert not list(tmp_path.rglob("*.safetensors"))
    blocked = tmp_path / "file"
    blocked.write_text("")
    Store(blocked, 1).save("denoise", "k", {"x": torch.zeros(8)}, {})
    assert "could not be kept" in caplog.text


def test_a_limit_of_zero_keeps_nothing_and_says_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Store(tmp_path, 0).save("denoise", "k", {"x": torch.zeros(8)}, {})
    assert not list(tmp_path.iterdir())
    assert not caplog.text
