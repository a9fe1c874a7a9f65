"""`python -m cogexp quality`: which runs are compared, and known answers for how far apart two clips are."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cogexp.__main__ import main
from cogexp.build import Request
from cogexp.cli import quality as command
from cogexp.engine.models import MODELS
from cogexp.metrics import networks
from cogexp.quality import Difference, cost_of, difference, exact_of, pairs
from cogexp.record import Record
from cogexp.run import rehearse
from cogexp.spec import RunSpec, SpecError
from cogexp.terminal import Progress
from tests.engine.flags import spec_with
from tests.launch.jobs import requests


@pytest.fixture(autouse=True)
def _nothing_held() -> Iterator[None]:
    yield
    MODELS.free()


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(20, 230, (3, 32, 48, 3), dtype=np.uint8)


def test_psnr_of_a_constant_offset_is_its_closed_form() -> None:
    """Every pixel off by d: 20 log10(255 / d) dB."""
    found = difference(noise() + np.uint8(5), noise())
    assert found.psnr == pytest.approx(20 * math.log10(255 / 5), abs=1e-4)
    assert found.ssim > 0.99


def test_ssim_is_that_of_scikit_image() -> None:
    """Its Gaussian SSIM with the constants of Wang et al. 2004; edges are padded otherwise there."""
    skimage = pytest.importorskip("skimage.metrics")
    clean = noise()
    noisy = np.clip(clean + np.random.default_rng(1).normal(0, 12, clean.shape), 0, 255).astype(np.uint8)
    expected = [
        skimage.structural_similarity(
            a,
            b,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
        )
        for a, b in zip(noisy, clean, strict=True)
    ]
    assert difference(noisy, clean, batch=2).ssim == pytest.approx(np.mean(expected), abs=0.01)


def test_identical_clips_have_no_psnr_and_other_shapes_no_answer() -> None:
    found = difference(noise(), noise())
    assert (found.psnr, found.ssim) == (None, pytest.approx(1.0))
    with pytest.raises(ValueError, match="one shape"):
        difference(noise(), noise()[:2])


def test_lpips_is_the_networks_mean_and_its_absence_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    without = difference(noise(1), noise())
    assert without.lpips is None
    assert "fetch" in without.skipped["lpips"]

    class Network:
        def distance(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
            return np.abs(first.astype(float) - second).mean(axis=(1, 2, 3)) / 255

    monkeypatch.setattr(networks, "load", lambda kind, name, device: Network())
    wanted = np.abs(noise(1).astype(float) - noise()).mean() / 255
    assert difference(noise(1), noise(), batch=2).lpips == pytest.approx(wanted)


def test_every_approximation_has_an_exact_twin_and_nothing_else_changes() -> None:
    kept = {"split_cfg": True, "lean_vae": True, "fuse_qkv": True, "attention": "math", "offload": "text"}
    spec = spec_with(
        {"cache": "magcache", "quantize": "gguf-q8", "text_cast": "fp8", "vae_tiling": "edge", **kept}
    )
    twin = exact_of(spec, 8)
    assert twin == spec_with(kept)
    (pair,) = pairs([spec])
    assert pair.exact == twin
    assert pair.setting == "cache=magcache, quantize=gguf-q8, text_cast=fp8, vae_tiling=edge"
    assert pairs([twin]) == []


def test_fewer_steps_are_compared_with_the_most_that_were_asked_for() -> None:
    specs = [spec_with(sampler={"steps": steps}, seed=seed) for steps in (50, 30, 20) for seed in (0, 1)]
    found = pairs(specs)
    assert [(p.setting, p.approximate.seed) for p in found] == [
        ("30 steps", 0), ("30 steps", 1), ("20 steps", 0), ("20 steps", 1),
    ]  # fmt: skip
    assert all(p.exact.sampler.steps == 50 and p.exact.seed == p.approximate.seed for p in found)
    assert found[0].key == found[1].key != found[2].key


def record(spec: Any, seconds: float, gib: float, score: float | None, status: str = "ok") -> Record:
    cost = {"seconds": seconds / 3, "cached": False, "peak_allocated_gib": gib, "rss_gib": 1.0}
    return Record(
        run_id=spec.run_id,
        status=status,
        error=None if status == "ok" else {"type": "RuntimeError", "message": "broken", "stage": "denoise"},
        spec=spec.to_dict(),
        scores={"native/clip_score": score},
        stages=dict.fromkeys(("encode", "denoise", "decode"), cost),
        started="2026-11-23T00:00:00.000+00:00",
        finished="2026-11-23T00:00:01.000+00:00",
    )


def test_a_setting_is_the_mean_of_its_pairs() -> None:
    one, other = pairs([spec_with({"cache": "pab"}, seed=seed) for seed in (0, 1)])
    cost = cost_of(
        [
            (one, record(one.approximate, 5, 3, 25.0), record(one.exact, 10, 4, 26.0),
             Difference(psnr=30.0, ssim=0.9, lpips=0.1)),
            (other, record(other.approximate, 5, 3, 28.0), record(other.exact, 20, 4, 27.0),
             Difference(psnr=None, ssim=1.0, lpips=0.0)),
        ]
    )  # fmt: skip
    assert (cost.pairs, cost.identical, cost.failed) == (2, 1, {})
    assert cost.speedup == pytest.approx((2 + 4) / 2)
    assert (cost.memory_gib, cost.memory_exact_gib) == (3.0, 4.0)
    assert (cost.psnr, cost.ssim, cost.lpips) == (30.0, pytest.approx(0.95), pytest.approx(0.05))
    assert (cost.clip_score, cost.clip_score_delta) == (26.5, pytest.approx(0.0))


def test_a_failed_run_is_named_and_the_other_pairs_count() -> None:
    one, other = pairs([spec_with({"cache": "pab"}, seed=seed) for seed in (0, 1)])
    broken = record(one.approximate, 5, 3, None, status="failed")
    cost = cost_of(
        [
            (one, broken, record(one.exact, 10, 4, None), None),
            (other, record(other.approximate, 5, 3, None), record(other.exact, 10, 4, None),
             Difference(psnr=20.0, ssim=0.5, lpips=None, skipped={"lpips": "no weights"})),
        ]
    )  # fmt: skip
    assert cost.failed == {one.approximate.run_id: "failed: broken"}
    assert (cost.pairs, cost.psnr, cost.lpips) == (1, 20.0, None)
    assert set(cost.skipped) == {"lpips", "clip_score"}


def test_the_command_runs_pairs_once_and_says_what_they_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["quality", "model=nano", "model.weights=random", "device=cpu", "resolution=64x64"]
    words += ["sampler.steps=8", "tracking=off", f"outputs={tmp_path}", "optimization=pab,fp8-cast"]
    assert main([*words, "--json"]) == 0
    pab, fp8 = json.loads(capsys.readouterr().out)
    assert (pab["setting"], fp8["setting"]) == ("cache=pab", "layerwise_cast=fp8")
    for cost in (pab, fp8):
        assert cost["pairs"] == 1
        assert 25 < cost["psnr"] < 80
        assert 0.5 < cost["ssim"] < 1
        assert cost["speedup"] > 0
        assert cost["memory_gib"] > 0
        assert set(cost["skipped"]) == {"lpips"}
    assert "attention layers skipped" in pab["took_hold"]["optimization.cache"]
    records = list((tmp_path / "runs").glob("*/record.json"))
    assert len(records) == 3  # one exact twin for both
    times = {file: file.stat().st_mtime_ns for file in records}
    assert main([*words, "--markdown"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].startswith("| setting | pairs | x faster")
    assert table[2].startswith(f"| cache=pab | 1 | {pab['speedup']:.2f} |")
    assert {file: file.stat().st_mtime_ns for file in records} == times
    assert main(words) == 0
    assert "against the exact run from the same seed" in capsys.readouterr().out


def test_what_a_process_pays_once_is_paid_before_the_first_run_of_each_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    events: list[str] = []
    kept = command.execute

    def execute(request: Request, progress: Progress) -> Record:
        events.append("run")
        return kept(request, progress)

    def fails(spec: RunSpec, *, device: str) -> None:
        events.append(f"{spec.resolution.width} {spec.optimization.cache} {device}")
        raise RuntimeError("what fails here is told by the run")

    monkeypatch.setattr(command, "execute", execute)
    monkeypatch.setattr(command, "rehearse", fails)
    words = ["model=nano", "model.weights=random", "device=cpu", "resolution=64x64,80x64", "sampler.steps=2"]
    words += ["tracking=off", f"outputs={tmp_path}", "optimization=pab,fastercache"]
    assert command.command(words) == 0
    assert events == ["64 none cpu", "run", "run", "run", "80 none cpu", "run", "run", "run"]
    events.clear()
    assert command.command(words) == 0
    assert events == ["run"] * 6, "nothing is left to compute"


def test_a_rehearsal_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    [request] = requests(tmp_path / "out", 1, model={"name": "nano", "weights": "random"})
    rehearse(request.spec, device="cpu")
    assert not list(tmp_path.iterdir())


def test_settings_without_an_approximation_are_a_wrong_request() -> None:
    with pytest.raises(SpecError, match="got settings without any; nearest: optimization=pab"):
        command.command(["model=nano", "device=cpu", "optimization=none,split-cfg"])
    with pytest.raises(SpecError, match="one format"):
        command.command(["--json", "--markdown"])
