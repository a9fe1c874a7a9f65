"""What a study will take: from the same setting, scaled from another size, or said to be unknown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cogexp import record as records
from cogexp.catalog import VARIANTS
from cogexp.plan import compute, roofline
from cogexp.plan.cards import CARDS
from cogexp.spec import OptimizationSpec, RunSpec
from cogexp.study.expect import seconds_of, seen, store_bytes, work_of
from cogexp.study.forecast import forecast
from tests.study.records import make_record, run_spec


def finished(
    outputs: Path, stages: dict[str, float], *, cached: tuple[str, ...] = (), **axes: Any
) -> RunSpec:
    """A finished run on a CPU, its record and a clip of 1000 bytes."""
    base = make_record(**axes)
    cost = {"peak_allocated_gib": None, "peak_reserved_gib": None, "rss_gib": 1.0}
    record = replace(
        base,
        device={"type": "cpu"},
        files={"native": "native.mp4"},
        stages={name: {**cost, "seconds": s, "cached": name in cached} for name, s in stages.items()},
    )
    folder = outputs / "runs" / record.run_id
    records.write(record, folder)
    (folder / "native.mp4").write_bytes(b"x" * 1000)
    return RunSpec.from_dict(record.spec)


ALL = {"load": 3.0, "encode": 0.5, "denoise": 10.0, "decode": 4.0, "measure": 1.0, "write": 0.5}


def test_nothing_is_known_of_the_first_run(tmp_path: Path) -> None:
    ahead = forecast([run_spec()], tmp_path, device="cpu")
    assert ahead.total_seconds is None
    assert ahead.disk_gb is None
    assert set(ahead.stage_seconds.values()) == {None}


def test_the_same_setting_takes_what_it_took(tmp_path: Path) -> None:
    finished(tmp_path, ALL)
    ahead = forecast([run_spec(seed=seed) for seed in (0, 1, 2)], tmp_path, device="cpu")
    assert [spec.seed for spec in ahead.specs] == [1, 2]
    assert len(ahead.done) == 1
    assert ahead.counts == {"encode": 1, "denoise": 2, "decode": 2, "measure": 2}
    assert ahead.stage_seconds["denoise"] == 20.0
    # two of everything, one prompt, one load
    assert ahead.total_seconds == pytest.approx(3.0 + 0.5 + 2 * (10.0 + 4.0 + 1.0 + 0.5))
    assert ahead.disk_gb == pytest.approx(2000 / 1e9)


def test_a_second_start_goes_on_where_the_first_one_was(tmp_path: Path) -> None:
    """What is done leaves a gap and moves nothing: half of a pair is done, and the other half is next."""
    specs = [
        run_spec(upscaler=name, seed=seed, prompt=prompt)
        for name in ("lanczos", "none")
        for seed in (0, 1)
        for prompt in "ab"
    ]
    whole = [spec.run_id for spec in forecast(specs, tmp_path, device="cpu").specs]
    finished(tmp_path, ALL, upscaler="lanczos", prompt="a")
    rest = [spec.run_id for spec in forecast(specs, tmp_path, device="cpu").specs]
    assert len(rest) == 7
    assert rest == [run_id for run_id in whole if run_id in rest]


def test_another_size_is_scaled_by_its_operations(tmp_path: Path) -> None:
    small = finished(tmp_path, ALL, size="256x144")
    large = run_spec(size="512x288")
    known = seen(records.load_many(tmp_path), tmp_path, None)
    nano = VARIANTS["nano"]
    for stage in ("denoise", "decode"):
        ratio = compute.tflop(large, nano)[stage] / compute.tflop(small, nano)[stage]
        assert seconds_of(large, stage, known) == pytest.approx(ratio * ALL[stage])
    assert seconds_of(large, "write", known) == pytest.approx(4 * ALL["write"])
    assert seconds_of(run_spec(upscaler="esrgan"), "upscale", known) is None, "no run has upscaled"


def test_other_flags_are_a_rough_guide_and_another_upscaler_is_none(tmp_path: Path) -> None:
    finished(tmp_path, ALL)
    known = seen(records.load_many(tmp_path), tmp_path, None)
    tiled = replace(run_spec(), optimization=OptimizationSpec(vae_tiling=True))
    assert seconds_of(tiled, "denoise", known) == pytest.approx(ALL["denoise"])
    assert seconds_of(run_spec(upscaler="lanczos"), "upscale", known) is None


def test_what_came_from_the_store_teaches_nothing(tmp_path: Path) -> None:
    finished(tmp_path, ALL, cached=("denoise",))
    known = seen(records.load_many(tmp_path), tmp_path, None)
    assert seconds_of(run_spec(), "denoise", known) is None
    assert seconds_of(run_spec(), "decode", known) == 4.0


def test_runs_of_another_device_do_not_count(tmp_path: Path) -> None:
    finished(tmp_path, ALL)
    assert seen(records.load_many(tmp_path), tmp_path, "NVIDIA H200").runs == 0


def test_a_known_card_gives_a_roofline(tmp_path: Path) -> None:
    known = seen([], tmp_path, "NVIDIA A100")
    spec = replace(run_spec(), model=replace(run_spec().model, name="cogvideox-5b", dtype="bfloat16"))
    expected = roofline.seconds(spec, VARIANTS["cogvideox-5b"], CARDS["A100"])["denoise"]
    assert seconds_of(spec, "denoise", known, CARDS["A100"]) == expected


def test_the_store_keeps_frames_and_latents() -> None:
    spec = run_spec(size="512x288")
    frames, latents = 9 * 288 * 512 * 3, 3 * 16 * 36 * 64 * 4
    assert store_bytes(spec, ("denoise", "decode")) == frames + latents
    assert store_bytes(spec, ("decode",)) == frames
    assert store_bytes(spec, ("measure",)) == 0


def test_work_grows_with_the_clip() -> None:
    assert work_of(run_spec(upscaler="esrgan", size="512x288"), "upscale") == 9 * 512 * 288 * 16
    assert work_of(run_spec(), "upscale") == 0
