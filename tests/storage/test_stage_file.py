"""Files of stage results: what was changed since they were saved is seen, whatever it is."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from cogexp.build import build
from cogexp.spec import RunSpec
from cogexp.storage import stage_file
from cogexp.store import Keys, Store
from tests.storage.costs import COST

COSTS: dict[str, dict[str, dict[str, Any]]] = {
    "denoise": {"encode": COST, "denoise": COST},
    "decode": {"encode": COST, "denoise": COST, "decode": COST},
}


@pytest.fixture
def spec() -> RunSpec:
    size = {"width": 64, "height": 64, "frames": 9}
    return build(
        {"model": {"name": "nano"}, "device": "cpu", "prompt": {"text": "a"}, "resolution": size}
    ).spec


def tensors(kind: str) -> dict[str, torch.Tensor]:
    """What a clip of 64 x 64 pixels and 9 frames leaves."""
    generator = torch.Generator().manual_seed(0)
    if kind == "denoise":
        return {"latents": torch.randn(1, 3, 16, 8, 8, generator=generator)}
    return {"frames": torch.randint(0, 256, (9, 64, 64, 3), dtype=torch.uint8, generator=generator)}


def test_other_programs_read_the_file(tmp_path: Path) -> None:
    file, made = tmp_path / "k.safetensors", tensors("denoise")
    stage_file.write(file, "denoise", "k", made, COSTS["denoise"])
    with safe_open(file, framework="pt") as opened:
        assert torch.equal(opened.get_tensor("latents"), made["latents"])
        assert json.loads(opened.metadata()["cost"]) == COSTS["denoise"]
    assert [path.name for path in tmp_path.iterdir()] == ["k.safetensors"]


@pytest.mark.parametrize("kind", ["denoise", "decode"])
def test_no_change_of_a_byte_goes_unseen(tmp_path: Path, kind: str, spec: RunSpec) -> None:
    """Zeros, flipped bits, a lost end: in the header, costs and numbers. JSON's spaces say nothing."""
    store, key, made = Store(tmp_path, 1), getattr(Keys.of(spec), kind), tensors(kind)
    store.save(kind, key, made, COSTS[kind])
    path = store.path(kind, key)
    whole, dice = path.read_bytes(), random.Random(0)
    header = int.from_bytes(whole[:8], "little") + 8
    damages = [whole[:n] + b"\0" * 4096 + whole[n + 4096 :] for n in range(0, len(whole), 4096)]
    damages = [content[: len(whole)] for content in damages]
    damages += [whole[: dice.randrange(len(whole))] for _ in range(10)]
    for end in (header, header, len(whole)):
        for place in dice.sample(range(end), 60):
            damages.append(
                whole[:place] + bytes([whole[place] ^ 1 << dice.randrange(8)]) + whole[place + 1 :]
            )
    accepted = 0
    for content in damages:
        path.write_bytes(content)
        found = store.load(kind, key, spec)
        if found is not None:
            accepted += 1
            ((name, tensor),) = found[0].items()
            assert torch.equal(tensor, made[name])
            assert found[1] == COSTS[kind]
    assert accepted <= len(damages) // 20


def test_a_file_under_another_name_is_seen(tmp_path: Path) -> None:
    store = Store(tmp_path, 1)
    store.save("denoise", "a", tensors("denoise"), COSTS["denoise"])
    store.path("denoise", "a").rename(store.path("denoise", "b"))
    assert store.load("denoise", "b") is None


def earlier(kind: str, made: dict[str, torch.Tensor], cost: object, spec: RunSpec, folder: Path) -> Store:
    """A store with one file as versions without a digest wrote it."""
    store = Store(folder, 1)
    path = store.path(kind, getattr(Keys.of(spec), kind))
    path.parent.mkdir()
    save_file(made, path, {"cost": json.dumps(cost)})
    return store


@pytest.mark.parametrize("kind", ["denoise", "decode"])
def test_files_of_earlier_versions_are_read(tmp_path: Path, kind: str, spec: RunSpec) -> None:
    made = tensors(kind)
    store = earlier(kind, made, COSTS[kind], spec, tmp_path)
    found, cost = store.load(kind, getattr(Keys.of(spec), kind), spec) or ({}, {})
    ((name, tensor),) = made.items()
    assert torch.equal(found[name], tensor)
    assert cost == COSTS[kind]


def zeroed(tensor: torch.Tensor) -> torch.Tensor:
    """A lost disk block of 4 KiB in it."""
    flat = tensor.clone().reshape(-1)
    flat[512 : 512 + 1024] = 0
    return flat.reshape(tensor.shape)


LATENTS, FRAMES = tensors("denoise")["latents"], tensors("decode")["frames"]


@pytest.mark.parametrize(
    ("kind", "made", "cost"),
    [
        ("denoise", {"latents": zeroed(LATENTS)}, COSTS["denoise"]),
        ("denoise", {"latents": LATENTS / 0}, COSTS["denoise"]),
        ("denoise", {"x": LATENTS}, COSTS["denoise"]),
        ("denoise", {"latents": LATENTS, "x": LATENTS.clone()}, COSTS["denoise"]),
        ("denoise", {"latents": LATENTS[0].contiguous()}, COSTS["denoise"]),
        ("denoise", {"latents": LATENTS[:, :2].contiguous()}, COSTS["denoise"]),
        ("denoise", {"latents": LATENTS[..., :4].contiguous()}, COSTS["denoise"]),
        ("denoise", {"latents": (LATENTS * 99).to(torch.int8)}, COSTS["denoise"]),
        ("denoise", {"latents": LATENTS}, {}),
        ("denoise", {"latents": LATENTS}, []),
        ("denoise", {"latents": LATENTS}, {"encode": COST}),
        ("denoise", {"latents": LATENTS}, {"encode": COST, "denoise": {**COST, "seconds": None}}),
        ("denoise", {"latents": LATENTS}, {"encode": COST, "denoise": {**COST, "rss_gib": float("nan")}}),
        ("denoise", {"latents": LATENTS}, {"encode": COST, "denoise": {**COST, "peak_allocated_gib": "2"}}),
        ("decode", {"frames": FRAMES[:8].contiguous()}, COSTS["decode"]),
        ("decode", {"frames": FRAMES.float()}, COSTS["decode"]),
        ("decode", {"frames": FRAMES[..., :1].contiguous()}, COSTS["decode"]),
    ],
)  # fmt: skip
def test_what_fails_the_check_is_not_used(
    tmp_path: Path, kind: str, made: dict[str, torch.Tensor], cost: object, spec: RunSpec
) -> None:
    store = earlier(kind, made, cost, spec, tmp_path)
    key = getattr(Keys.of(spec), kind)
    assert store.load(kind, key, spec) is None
    assert not store.has(kind, key)
