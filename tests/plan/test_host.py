"""Main memory of a run: against the shapes of the real modules, and refused where it is too little."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cogexp import machine
from cogexp.__main__ import main
from cogexp.build import build
from cogexp.catalog import VARIANTS
from cogexp.cli import runs
from cogexp.launch.host_room import host_room
from cogexp.plan import host, preflight
from cogexp.plan.preflight import HostRoom, check, check_host
from cogexp.spec import OptimizationSpec, RunSpec
from cogexp.system import host_memory
from tests.plan.test_published import spec_of
from tests.system.machines import make_machine

SMALL = (512, 288, 49)
FIVE = VARIANTS["cogvideox-5b"]


@pytest.fixture
def main_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put this process into a machine, or a container, with so much available."""

    def insert(available_gib: float, limit_gib: float | None = None) -> None:
        root = make_machine(
            tmp_path / "root", total_gib=256, available_gib=available_gib, limit_gib=limit_gib
        )
        monkeypatch.setattr(host_memory, "ROOT", root)
        monkeypatch.setattr(host_memory, "own_resident_gib", lambda: 0.0)

    return insert


def gib_of(spec: RunSpec, device: str = "cuda") -> float:
    return host.host_gib(spec, VARIANTS[spec.model.name], device)


@pytest.mark.slow
def test_pinned_weights_take_powers_of_two() -> None:
    """torch's allocator of page-locked memory rounds every tensor up: summed over the real modules."""
    import torch
    from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel
    from transformers import T5Config, T5EncoderModel

    from cogexp.engine import configs

    def taken(module: torch.nn.Module) -> float:
        sizes = [2 * parameter.numel() for parameter in module.parameters()]
        return sum(1 << (size - 1).bit_length() for size in sizes) / 2**30

    with torch.device("meta"):
        real = {"text_encoder": T5EncoderModel(T5Config(**configs.T5_XXL)).encoder}
        real["vae"] = AutoencoderKLCogVideoX(**configs.vae_config(FIVE))
        transformers = {
            name: CogVideoXTransformer3DModel(**configs.transformer_config(VARIANTS[name]))
            for name in ("cogvideox-2b", "cogvideox-5b", "cogvideox-1.5-5b")
        }
    for name, transformer in transformers.items():
        planned = host.pinned(spec_of(name, (720, 480, 49), dtype="bfloat16"), VARIANTS[name])
        for part, module in (real | {"transformer": transformer}).items():
            assert planned[part] == pytest.approx(taken(module), rel=0.01), (name, part)


def test_what_waits_for_a_gpu_in_main_memory() -> None:
    """GiB of 5b in bfloat16: text encoder 8.87, transformer 10.38, VAE 0.40; 3 of libraries."""
    libraries = host.LIBRARIES_GPU_GIB

    def beside(**flags: Any) -> float:
        return gib_of(spec_of("cogvideox-5b", SMALL, dtype="bfloat16", **flags)) - libraries

    assert beside() == pytest.approx(10.38, abs=0.02)  # the largest part, while it is loaded
    assert beside(weights="random") == 0  # made on the GPU
    assert beside(offload="text", weights="random") == pytest.approx(8.87, abs=0.02)
    assert beside(offload="text") == pytest.approx(8.87 + 10.38, abs=0.02)
    assert beside(offload="model") == beside(offload="sequential") == pytest.approx(19.65, abs=0.02)
    assert beside(offload="group-disk") == beside()
    # Pinned: 12.25 + 18.43 + 0.48; block by block the transformer is there twice when it is pinned.
    assert beside(offload="group") == pytest.approx(31.16, rel=0.01)
    assert beside(offload="group-block") == pytest.approx(12.25 + 10.38 + 18.43, rel=0.01)
    # Quantized after it is loaded in 16 bits.
    assert beside(quantize="int8wo") == pytest.approx(10.38, abs=0.02)
    assert beside(offload="model", quantize="int8wo") == pytest.approx(8.87 + 10.38, abs=0.02)


def test_on_a_cpu_all_weights_and_the_largest_activations_count() -> None:
    spec = spec_of("cogvideox-5b", SMALL, dtype="bfloat16")
    decode = preflight.plan(spec, device="cpu").stages["decode"].activations_gib
    assert gib_of(spec, "cpu") == pytest.approx(host.LIBRARIES_CPU_GIB + 19.65 + decode, abs=0.05)
    assert gib_of(replace(spec, model=replace(spec.model, dtype="float32")), "cpu") == pytest.approx(
        host.LIBRARIES_CPU_GIB + 2 * (19.65 + decode), abs=0.1
    )


WORDS = ["model=cogvideox-5b", "model.weights=random", "device=cpu", "tracking=off", "resolution.frames=49"]


@pytest.mark.parametrize(("available", "limit"), [(24, None), (200, 24)])
def test_what_a_cpu_cannot_hold_is_refused_with_what_fits(
    available: float,
    limit: float | None,
    main_memory: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """On a machine of 24 GiB, and in a container of 24 GiB on a large machine."""
    main_memory(available, limit)
    for command in ([], ["bench"]):
        assert main([*command, *WORDS, f"outputs={tmp_path / 'out'}"]) == 2
        err = capsys.readouterr().err
        assert len(err.strip().splitlines()) == 1
        assert "cogvideox-5b at 512x288x49 needs 52.9 GiB of main memory on a CPU, got 24.0 GiB" in err
        assert ("the container's limit" in err) == (limit is not None)
        assert "nearest that fits: model=cogvideox-2b model.dtype=bfloat16" in err
        assert "preflight=warn" in err
    assert not (tmp_path / "out").exists()


def test_the_words_that_are_named_do_fit(main_memory: Callable[..., None]) -> None:
    for gib in (4, 16, 24, 32, 48):
        main_memory(gib)
        spec = spec_of("cogvideox-5b", SMALL, dtype="float32")
        words = [words for words, other in host._candidates(spec, "cpu") if gib_of(other, "cpu") <= gib]
        found = check_host(spec, "cpu")
        assert found is not None
        assert found.impossible
        assert f"nearest that fits: {words[0]} (" in found.text
    main_memory(0.5)
    assert "no setting fits" in str(check_host(spec, "cpu"))


@pytest.mark.parametrize(("mode", "said"), [("warn", True), ("off", False)])
def test_warn_says_it_and_off_says_nothing(
    mode: str,
    said: bool,
    main_memory: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    main_memory(24)
    ran: list[Any] = []
    monkeypatch.setattr(runs, "_single", lambda request: ran.append(request) or 0)
    assert main([*WORDS, f"preflight={mode}"]) == 0
    assert len(ran) == 1
    assert ("52.9 GiB of main memory" in capsys.readouterr().err) == said


def test_near_the_limit_it_is_said_and_run(main_memory: Callable[..., None]) -> None:
    spec = spec_of("nano", (512, 288, 9), dtype="float32")
    needed = gib_of(spec, "cpu")
    main_memory(needed / 0.95)
    found = check_host(spec, "cpu")
    assert found is not None
    assert not found.impossible
    assert "is near the limit" in found.text
    main_memory(needed / 0.85)
    assert check_host(spec, "cpu") is None


def test_offloaded_weights_count_on_a_gpu(
    main_memory: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "gpu", lambda: machine.Gpu(name="NVIDIA RTX 3060", total_gib=12))
    spec = spec_of("cogvideox-5b", SMALL, dtype="bfloat16", offload="group-block", lean_vae=True)
    main_memory(64)
    assert check(spec, "cuda") is None
    main_memory(30)
    found = check(spec, "cuda")
    assert found is not None
    assert found.impossible
    assert "needs 44.1 GiB of main memory beside the GPU, got 30.0 GiB" in found.text
    # On 12 GiB the parts do not fit one at a time with ease, so they come layer by layer.
    assert "nearest that fits: optimization.offload=" in found.text
    main_memory(15)
    assert "optimization.offload=group-disk" in str(check(spec, "cuda"))


def test_auto_leaves_weights_where_they_fit(
    main_memory: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On 15.7 GiB of GPU memory: group-block pins 5b in 44 GiB; with less, what is fastest of what fits."""
    monkeypatch.setattr(machine, "gpu", lambda: machine.Gpu(name="NVIDIA card", total_gib=15.7))

    def chosen(total_gib: float) -> OptimizationSpec:
        root = make_machine(tmp_path / f"{total_gib}", total_gib=total_gib, available_gib=total_gib)
        monkeypatch.setattr(host_memory, "ROOT", root)
        config = {
            "model": {"name": "cogvideox-5b"},
            "device": "cuda",
            "resolution": {"width": 512, "height": 288, "frames": 49},
            "prompt": {"text": "two wolves"},
            "optimization": {"offload": "auto", "lean_vae": "auto"},
        }
        return build(config).spec.optimization

    assert chosen(64).offload == "group-block"
    assert chosen(30).offload not in ("group-block", "group")
    assert gib_of(spec_of("cogvideox-5b", SMALL, **chosen(30).changed())) <= 30


def test_a_card_that_is_too_small_is_named_before_main_memory(
    main_memory: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "gpu", lambda: machine.Gpu(name="NVIDIA RTX 3060", total_gib=12))
    main_memory(8)
    found = check(spec_of("cogvideox-5b", SMALL), "cuda")
    assert found is not None
    assert "with 12.0 GiB; " in found.text
    assert "main memory" not in found.text


def test_what_this_process_holds_already_is_its_own(
    main_memory: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next job of an agent uses the memory of the last one."""
    spec = spec_of("nano", (512, 288, 9), dtype="float32")
    main_memory(0.5)
    assert check_host(spec, "cpu") is not None
    monkeypatch.setattr(host_memory, "own_resident_gib", lambda: 3.0)
    assert check_host(spec, "cpu") is None


def test_each_launcher_has_its_own_room(
    main_memory: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    main_memory(24)
    assert host_room({"name": "basic"}, "cpu", 9).gib == 24
    assert host_room({"name": "overlap", "ahead": 6}, "cpu", 9).gib == 23
    assert host_room({"name": "overlap", "ahead": 6}, "cuda", 9).gib == 24
    assert host_room({"name": "workers", "workers": 4}, "cpu", 9).gib == 6
    assert host_room({"name": "workers", "workers": 4}, "cpu", 2).gib == 12
    assert host_room({"name": "workers", "workers": "auto"}, "cpu", 9).gib == 24
    slurm = {"name": "submitit", "cluster": "slurm", "mem_gb": 64}
    assert host_room(slurm, "cpu", 9) == HostRoom(gib=64, words="hydra.launcher.mem_gb=64")
    assert host_room({**slurm, "cluster": "local"}, "cpu", 9).gib == 24
    assert host_room({"name": "ray", "address": "head:6379"}, "cpu", 9).gib == float("inf")


def test_plan_says_what_the_host_needs(
    main_memory: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    main_memory(24)
    words = ["plan", "model=cogvideox-5b", "resolution=512x288", "resolution.frames=49"]
    assert main([*words, "device=cpu", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["host"] == {"needed_gib": 52.87, "available_gib": 24.0, "total_gib": 256.0, "fits": False}
    assert found["host_gib"] == found["host"]["needed_gib"]
    # A card that is not here is in another machine.
    assert main([*words, "gpu=24GB", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["host"]["available_gib"] is None
    assert main([*words, "device=cpu"]) == 0
    assert (
        "about 52.9 GiB: does not fit, this machine has 24.0 GiB available of 256.0 GiB"
        in capsys.readouterr().out
    )
