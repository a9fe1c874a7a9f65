"""The store: keyed by what matters, bounded, and never the reason that a run fails."""

from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path

import pytest
import torch

from cogexp.build import build
from cogexp.spec import OptimizationSpec, RunSpec, UpscalerSpec
from cogexp.storage.durable import staged_name
from cogexp.store import Keys, Store, calibration_key
from tests.storage.costs import COST


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


COSTS = {"encode": COST, "denoise": COST}


def latents(values: int = 300, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """(1, 1, 1, 1, values), none of them zero."""
    return {"latents": torch.arange(1, values + 1).reshape(1, 1, 1, 1, values).to(dtype)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tensors_come_back_bit_equal_with_their_cost(tmp_path: Path, dtype: torch.dtype) -> None:
    store, made = Store(tmp_path, 1), latents(dtype=dtype)
    store.save("denoise", "k" * 64, made, COSTS)
    tensors, cost = store.load("denoise", "k" * 64) or ({}, {})
    assert torch.equal(tensors["latents"], made["latents"])
    assert cost == COSTS


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    store = Store(tmp_path, 50000e-9)
    for age, key in enumerate("abc"):
        store.save("denoise", key, latents(3000), COSTS)  # about 12.6 kB each
        os.utime(store.path("denoise", key), (1000 + age, 1000 + age))
    assert store.load("denoise", "a") is not None  # used now: b is the oldest
    store.save("denoise", "d", latents(6000), COSTS)
    assert [key for key in "abcd" if store.has("denoise", key)] == ["a", "c", "d"]


def test_a_damaged_file_is_set_aside_and_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path, 1)
    store.save("denoise", "k", latents(), COSTS)
    path = store.path("denoise", "k")
    path.write_bytes(path.read_bytes()[:20])
    assert store.load("denoise", "k") is None
    assert not path.exists()
    assert path.with_suffix(".damaged").stat().st_size == 20
    assert "damaged" in caplog.text
    store.save("denoise", "k", latents(), COSTS)
    assert store.load("denoise", "k") is not None


def test_too_large_or_unwritable_costs_only_the_reuse(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Store(tmp_path, 1e-9).save("denoise", "k", latents(), COSTS)
    assert not list(tmp_path.rglob("*.safetensors"))
    blocked = tmp_path / "file"
    blocked.write_text("")
    Store(blocked, 1).save("denoise", "k", latents(), COSTS)
    assert "could not be kept" in caplog.text


def test_a_limit_of_zero_keeps_nothing_and_says_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Store(tmp_path, 0).save("denoise", "k", latents(), COSTS)
    assert not list(tmp_path.iterdir())
    assert not caplog.text


def test_leftovers_of_killed_saves_count_and_are_collected(tmp_path: Path) -> None:
    store = Store(tmp_path, 50000e-9)
    for age, key in enumerate("ab"):
        store.save("denoise", key, latents(3000), COSTS)
        os.utime(store.path("denoise", key), (1000 + age, 1000 + age))
    folder = tmp_path / "denoise"
    names = ("k.4711.tmp", ".k.0123abcd.tmp", ".tmpAb12Cd")  # of earlier versions, and safetensors'
    old = [*(folder / name for name in names), staged_name(store.path("denoise", "k"))]
    young = staged_name(store.path("denoise", "k"))
    for file in (*old, young):
        file.write_bytes(b"x" * 20000)
    for file in old:
        os.utime(file, (1000, 1000))
    (folder / "notes.txt").write_text("mine")
    os.utime(folder / "notes.txt", (1000, 1000))
    store.save("denoise", "c", latents(3000), COSTS)
    assert not any(file.exists() for file in old)
    assert young.exists(), "another process may be at it"
    assert (folder / "notes.txt").exists()
    assert [key for key in "abc" if store.has("denoise", key)] == ["b", "c"], "what is under way counts"


def test_damaged_files_count_and_go_first(tmp_path: Path) -> None:
    store = Store(tmp_path, 40000e-9)
    for key in "ab":
        store.save("denoise", key, latents(3000), COSTS)
    damaged = store.path("denoise", "z").with_suffix(".damaged")
    damaged.write_bytes(b"x" * 20000)
    store.save("denoise", "c", latents(3000), COSTS)
    assert not damaged.exists()
    assert all(store.has("denoise", key) for key in "abc")


@pytest.mark.parametrize("mode", [0o2775, 0o700])
def test_files_and_folders_have_the_permissions_of_the_folder(tmp_path: Path, mode: int) -> None:
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    outputs.chmod(mode)
    before = os.umask(0o077)
    try:
        store = Store(outputs / "store", 1)
        store.save("denoise", "k", latents(), COSTS)
    finally:
        os.umask(before)
    file = store.path("denoise", "k")
    assert file.stat().st_mode & 0o7777 == mode & 0o666
    assert file.parent.stat().st_mode & 0o7777 == (outputs / "store").stat().st_mode & 0o7777 == mode


def test_unreadable_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path, 1)
    store.save("denoise", "k", latents(), COSTS)

    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with monkeypatch.context() as other_user:
        other_user.setattr(Path, "read_bytes", refuse)
        assert store.load("denoise", "k") is None
    assert "cannot be read" in caplog.text
    assert "damaged" not in caplog.text
    assert store.load("denoise", "k") is not None, "it stays where it was"


def test_a_store_that_takes_no_writes_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path, 1)
    store.save("denoise", "k", latents(), COSTS)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("utime", "replace", "unlink", "mkdir"):
        monkeypatch.setattr(os, name, refuse)
    assert store.load("denoise", "k") is not None
    store.save("denoise", "l", latents(), COSTS)  # says so and goes on
    store.path("denoise", "k").write_bytes(b"")
    assert store.load("denoise", "k") is None


def test_what_goes_while_it_is_read_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process makes room between the question and the reading, and after it."""
    store, made = Store(tmp_path, 1), latents()
    store.save("denoise", "k", made, COSTS)
    tensors, _ = store.load("denoise", "k") or ({}, {})
    path = store.path("denoise", "k")
    with path.open("r+b") as file:  # in place: a mapped file would change under the reader, or end it
        file.truncate(0)
    assert torch.equal(tensors["latents"], made["latents"])
    path.unlink()
    monkeypatch.setattr(Store, "has", lambda *_: True)
    assert store.load("denoise", "k") is None
