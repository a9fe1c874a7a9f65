"""The order of jobs: what is dear is done once, and the order does not depend on how it was asked for."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from pathlib import Path

import pytest

from cogexp.spec import OptimizationSpec, RunSpec
from cogexp.store import Keys, Store
from cogexp.study.order import LEVELS, model_key, order, todo
from tests.study.records import run_spec

NO_STORE = Store(Path("there-is-none"), 20)
FLAGS = (
    OptimizationSpec(),
    OptimizationSpec(vae_tiling=True),
    OptimizationSpec(cache="pab"),
    OptimizationSpec(offload="model"),
)


def study() -> list[RunSpec]:
    """4 optimizations x 2 prompts x 2 sizes x 2 seeds x 3 upscalers."""
    axes = itertools.product(
        FLAGS, ("wolves", "water"), ("512x288", "64x64"), (0, 1), ("none", "lanczos", "esrgan")
    )
    return [
        replace(run_spec(prompt=prompt, size=size, seed=seed, upscaler=upscaler), optimization=flags)
        for flags, prompt, size, seed, upscaler in axes
    ]


def changes(keys: list[str]) -> int:
    """How often neighbours differ, and one for the first."""
    return 1 + sum(before != after for before, after in itertools.pairwise(keys))


@pytest.mark.parametrize("seed", range(5))
def test_the_order_does_not_depend_on_the_one_given(seed: int) -> None:
    specs = study()
    expected = [specs[index].run_id for index in order(specs)]
    random.Random(seed).shuffle(specs)
    assert [specs[index].run_id for index in order(specs)] == expected


def test_nothing_is_loaded_or_computed_twice() -> None:
    """A key's jobs stand together at every level: as many changes as there are keys, which is the least."""
    specs = study()
    ordered = [specs[index] for index in order(specs)]
    assert sorted(map(id, ordered)) == sorted(map(id, specs))
    loads = [model_key(spec) for spec in ordered]
    assert changes(loads) == len(set(loads)) == 3  # tiling needs nothing loaded anew
    for level in range(1, len(LEVELS)):
        inside = ["".join(key(spec) for key in LEVELS[: level + 1]) for spec in ordered]
        assert changes(inside) == len(set(inside))


def test_small_sizes_come_first() -> None:
    specs = [run_spec(size=size) for size in ("720x480", "512x288", "1024x576", "64x64")]
    assert [specs[index].resolution.name for index in order(specs)] == [
        "64x64",
        "512x288",
        "720x480",
        "1024x576",
    ]


def test_todo_counts_each_stage_once() -> None:
    specs = [
        run_spec(size=s, upscaler=u, prompt=p)
        for s in ("64x64", "80x64")
        for u in ("none", "esrgan")
        for p in "ab"
    ]
    found = todo([specs[index] for index in order(specs)], NO_STORE)
    counts = {
        stage: sum(stage in stages for stages in found)
        for stage in ("encode", "denoise", "decode", "upscale")
    }
    assert counts == {"encode": 2, "denoise": 4, "decode": 4, "upscale": 4}


def test_todo_knows_the_store(tmp_path: Path) -> None:
    spec, store = run_spec(), Store(tmp_path, 20)
    assert todo([spec], store) == [("encode", "denoise", "decode", "measure")]
    for kind, left in (
        ("encode", ("denoise", "decode", "measure")),
        ("denoise", ("decode", "measure")),
        ("decode", ("measure",)),
    ):
        file = store.path(kind, getattr(Keys.of(spec), kind))
        file.parent.mkdir()
        file.touch()
        assert todo([spec], store) == [left]


def test_without_a_store_every_run_computes_everything(tmp_path: Path) -> None:
    specs = [run_spec(upscaler=name) for name in ("none", "esrgan")]
    assert all("denoise" in stages for stages in todo(specs, Store(tmp_path, 0)))
