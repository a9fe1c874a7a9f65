"""The plan of a setting: the figures of the contract, cards, suggestions, times and their correction."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from cogexp import bench, machine
from cogexp.bench import Bench
from cogexp.catalog import VARIANTS
from cogexp.plan import cards, compute, measured, plan, roofline, settings, weights
from cogexp.record import Record, write
from cogexp.spec import OptimizationSpec, SpecError
from tests.plan.test_published import spec_of

SMALL = (512, 288, 49)


def test_tokens_and_latents() -> None:
    """7,714 tokens at 512x288x49, 17,776 at 720x480x49, 45,106 for 1.5 at 1360x768x81."""
    for name, size, count, latent in (
        ("cogvideox-5b", SMALL, 7_714, (13, 16, 36, 64)),
        ("cogvideox-2b", (720, 480, 49), 17_776, (13, 16, 60, 90)),
        ("cogvideox-1.5-5b", (1360, 768, 81), 45_106, (22, 16, 96, 170)),
    ):
        assert compute.tokens(VARIANTS[name], *size) == count
        assert compute.latent_shape(VARIANTS[name], *size) == latent


def test_compute_of_a_step() -> None:
    """5b with guidance: 664 TFLOP at 720x480, 208 at 512x288."""
    five = VARIANTS["cogvideox-5b"]
    assert compute.step_tflop(five, 17_776, 2) == pytest.approx(664, rel=0.01)
    assert compute.step_tflop(five, 7_714, 2) == pytest.approx(208, rel=0.01)


@pytest.mark.parametrize(
    ("card", "name", "published"),
    [("A100", "cogvideox-5b", 243.3), ("H100", "cogvideox-5b", 112.4), ("A100", "cogvideox-2b", 96.9)],
)
def test_latencies_that_are_published(card: str, name: str, published: float) -> None:
    """diffusers-torchao, 50 steps of 720x480x49. The two of 5b set the cards' efficiency; 2b is predicted."""
    spec = spec_of(name, (720, 480, 49))
    spent = sum(roofline.seconds(spec, VARIANTS[name], cards.CARDS[card]).values())
    assert spent == pytest.approx(published, rel=0.15)


def test_what_the_issue_asks_of_the_plan() -> None:
    five = spec_of("cogvideox-5b", SMALL)
    assert plan(five).peak_allocated_gib == pytest.approx(25.9, rel=0.05)
    assert plan(five).fits is None
    assert plan(five, "80GB").fits is True
    assert plan(five, "24GB").fits is False
    for limit in (8, 5):
        found = plan(five, f"{limit}GB").suggestions
        assert found
        assert all(s.peak_allocated_gib < limit for s in found)
        times = [s.relative_time for s in found]
        assert times == sorted(times)


def test_every_suggestion_is_a_setting_that_builds_and_has_the_peak_it_claims() -> None:
    asked = spec_of("cogvideox-5b", SMALL, dtype="float32")
    found = plan(asked).suggestions
    assert any("model.dtype=bfloat16" in s.overrides for s in found), "the fp32 trap is named"
    for one in found:
        words = dict(word.split("=") for word in one.overrides)
        flags = {k.split(".")[1]: v for k, v in words.items() if k.startswith("optimization.")}
        for flag in {"lean_vae", "split_cfg"} & set(flags):
            flags[flag] = flags[flag] == "true"  # type: ignore[assignment]
        other = spec_of("cogvideox-5b", SMALL, dtype=words.get("model.dtype", "float32"), **flags)
        assert plan(other).peak_allocated_gib == pytest.approx(one.peak_allocated_gib)


def test_no_suggestion_is_worse_than_another_in_everything() -> None:
    found = plan(spec_of("cogvideox-5b", (720, 480, 49))).suggestions
    assert found[0].overrides == ("optimization.lean_vae=true",), "exact, and better than the asked one"
    assert found[0].relative_time == 1.0
    for index, slower in enumerate(found):
        for faster in found[:index]:
            less_memory = slower.peak_allocated_gib < faster.peak_allocated_gib
            assert less_memory or len(slower.changes_pixels) < len(faster.changes_pixels)


def test_axes_are_flags_of_the_spec_and_their_values_legal() -> None:
    for flag, values in settings.AXES.items():
        assert values[0] == getattr(OptimizationSpec(), flag)
        for value in values:
            assert getattr(replace(OptimizationSpec(), **{flag: value}), flag) == value


def test_tile_overhead() -> None:
    """512x288 in default tiles: columns 0-359 and 288-511, rows 0-239 and 200-287."""
    expected = (360 + 224) / 512 * (240 + 88) / 288
    assert compute.tile_overhead(True, 512, 288) == pytest.approx(expected)
    assert compute.tile_overhead("edge", 512, 288) == pytest.approx(2 * 296 / 512)
    assert compute.tile_overhead(False, 512, 288) == 1
    whole, tiled = (
        compute.tflop(spec_of("cogvideox-5b", SMALL, vae_tiling=how), VARIANTS["cogvideox-5b"])
        for how in (False, True)
    )
    assert tiled == {**whole, "decode": pytest.approx(expected * whole["decode"])}


def test_the_embedded_models_parts() -> None:
    """Its sizes are written down in the planner, which must not load it; here they are counted."""
    torch = pytest.importorskip("torch")
    from diffusers import AutoencoderKLCogVideoX

    from cogexp.nano import arch

    with torch.device("meta"):
        vae = AutoencoderKLCogVideoX(**arch.NANO_CONFIG["vae"])
    assert sum(p.numel() for p in vae.parameters()) == pytest.approx(weights.NANO["vae"], rel=0.25)


@pytest.mark.parametrize(
    ("text", "gib", "like"),
    [
        ("24GB", 24, "RTX 4090"),
        ("24", 24, "RTX 4090"),
        ("24 GiB", 24, "RTX 4090"),
        ("rtx4090", 24, "RTX 4090"),
        ("A100", 80, "A100"),
        ("NVIDIA A100-SXM4-80GB", 80, "A100"),
        ("NVIDIA H100 80GB HBM3", 80, "H100"),
        ("NVIDIA GeForce RTX 4060 Ti", 16, "RTX 4060 Ti"),
        ("Tesla T4", 15, "T4"),
        ("NVIDIA L40S", 48, "L40S"),
    ],
)
def test_cards(text: str, gib: float, like: str) -> None:
    card = cards.find(text)
    assert card is not None
    assert card.memory_gib == gib
    assert card.tflops == cards.CARDS[like].tflops


@pytest.mark.parametrize(
    ("text", "named"),
    [("H1O0", "nearest: H100"), ("0GB", "nearest: 1GB"), ("9999GB", "1024GB"), ("a fast one", "nearest:")],
)
def test_a_card_that_is_none(text: str, named: str) -> None:
    with pytest.raises(SpecError, match="gpu must be") as refused:
        cards.find(text)
    assert named in str(refused.value)


def test_this_machines_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpu", lambda: machine.Gpu(name="NVIDIA GeForce RTX 3090", total_gib=23.7))
    card = cards.find("auto")
    assert card is not None
    assert (card.memory_gib, card.tflops) == (23.7, 71)
    monkeypatch.setattr(machine, "gpu", lambda: machine.Gpu(name="NVIDIA Unheard Of", total_gib=95))
    unknown = cards.find("auto")
    assert unknown is not None
    assert (unknown.name, unknown.memory_gib) == ("NVIDIA Unheard Of", 95)
    monkeypatch.setattr(machine, "gpu", lambda: None)
    with pytest.raises(SpecError, match="gpu=auto needs an NVIDIA GPU"):
        cards.find("auto")


def finished(folder: Path, name: str, seconds: float, gpu: str, **changes: Any) -> None:
    spec = spec_of("cogvideox-5b", SMALL, **changes)
    cost = {
        "seconds": seconds,
        "cached": False,
        "peak_allocated_gib": 1.0,
        "peak_reserved_gib": 1.0,
        "rss_gib": 1.0,
    }
    run = folder / "runs" / name
    run.mkdir(parents=True)
    record = Record(
        run_id=name,
        status="ok",
        spec=asdict(spec),
        stages={"denoise": cost},
        device={"type": "cuda", "gpu": gpu},
        started="2026-01-01T00:00:00+00:00",
        finished="2026-01-01T00:01:00+00:00",
    )
    write(record, run)


def test_measured_runs_correct_the_times(tmp_path: Path) -> None:
    spec, card = spec_of("cogvideox-5b", SMALL), cards.CARDS["RTX 4090"]
    predicted = roofline.seconds(spec, VARIANTS["cogvideox-5b"], card)["denoise"]
    finished(tmp_path, "one", 2 * predicted, "NVIDIA GeForce RTX 4090")
    finished(tmp_path, "elsewhere", 9 * predicted, "NVIDIA A100-SXM4-80GB")
    found = measured.read(tmp_path, spec, card)
    assert found.runs == 1
    assert found.by_stage == {"denoise": pytest.approx(2.0)}
    planned = plan(spec, card, outputs=tmp_path)
    assert planned.seconds is not None
    assert planned.seconds["denoise"] == pytest.approx(2 * predicted)
    assert "1 finished run" in planned.corrected_by


def test_runs_of_the_same_flags_count_before_others(tmp_path: Path) -> None:
    spec, card = spec_of("cogvideox-5b", SMALL), cards.CARDS["RTX 4090"]
    offloaded = spec_of("cogvideox-5b", SMALL, offload="group")
    variant = VARIANTS["cogvideox-5b"]
    finished(tmp_path, "plain", roofline.seconds(spec, variant, card)["denoise"], "NVIDIA GeForce RTX 4090")
    slow = 3 * roofline.seconds(offloaded, variant, card)["denoise"]
    finished(tmp_path, "group", slow, "NVIDIA GeForce RTX 4090", offload="group")
    suggestions = plan(spec, card, outputs=tmp_path).suggestions
    group = next((s for s in suggestions if s.overrides == ("optimization.offload=group",)), None)
    assert group is None or group.relative_time > 2.5
    found = measured.read(tmp_path, spec, card)
    assert found.apply(offloaded, {"denoise": 1.0})["denoise"] == pytest.approx(3.0)
    assert found.apply(spec, {"denoise": 1.0})["denoise"] == pytest.approx(1.0)


def test_a_bench_corrects_the_times_of_all_stages(tmp_path: Path) -> None:
    spec, card = spec_of("cogvideox-5b", SMALL), cards.CARDS["RTX 4090"]
    predicted = roofline.seconds(spec, VARIANTS["cogvideox-5b"], card)
    cold, warm = 5.0, 1.5 * predicted["denoise"] / spec.sampler.steps
    took = Bench(
        bench_id="one",
        status="ok",
        spec=asdict(spec),
        steps=4,
        step_seconds=[cold, warm, warm, warm],
        encode_seconds=4 * predicted["encode"],
        decode_seconds=2 * predicted["decode"],
        device={"type": "cuda", "gpu": "NVIDIA GeForce RTX 4090"},
    )
    bench.write(took, tmp_path / "bench" / "one")
    bench.write(replace(took, status="oom"), tmp_path / "bench" / "two")
    found = measured.read(tmp_path, spec, card)
    assert found.runs == 1
    assert found.by_stage == pytest.approx({"encode": 4.0, "denoise": 1.5, "decode": 2.0})
    assert measured.read(tmp_path, spec, cards.CARDS["T4"]) == measured.NOTHING


def test_a_damaged_record_does_not_stop_the_plan(tmp_path: Path) -> None:
    for file in ("runs/broken/record.json", "bench/broken/bench.json", "bench/other/bench.json"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text("[1]" if "other" in file else "{")
    assert plan(spec_of("cogvideox-5b", SMALL), "24GB", outputs=tmp_path).corrected_by == ""


def test_a_card_without_bfloat16_is_warned_about() -> None:
    spec = spec_of("cogvideox-5b", SMALL)
    assert "model.dtype=float16" in plan(spec, "T4").warning
    assert plan(spec, "A100").warning == ""
    assert plan(spec_of("cogvideox-2b", SMALL), "T4").warning == ""


def test_json_has_the_keys_of_the_contract() -> None:
    plain = json.loads(json.dumps(plan(spec_of("cogvideox-5b", SMALL), "24GB").to_dict(), allow_nan=False))
    assert {
        "model", "width", "height", "frames", "dtype", "stages", "peak_allocated_gib", "peak_reserved_gib",
        "tflops", "tokens", "latent", "fits", "suggestions",
    } <= set(plain)  # fmt: skip
    assert set(plain["stages"]) == {"encode", "denoise", "decode"}
    assert {"weights_gib", "activations_gib", "peak_allocated_gib"} <= set(plain["stages"]["decode"])
    assert plain["latent"] == [13, 16, 36, 64]
    assert {"overrides", "peak_allocated_gib", "relative_time"} <= set(plain["suggestions"][0])


def test_a_plan_costs_no_torch() -> None:
    script = (
        "import sys\n"
        "from cogexp.build import build\n"
        "from cogexp.plan import plan\n"
        "c = {'model': {'name': 'cogvideox-5b'}, 'device': 'cuda', 'prompt': {'text': 'x'}}\n"
        "plan(build(c).spec, '24GB')\n"
        "print(sorted({'torch', 'diffusers', 'numpy', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
