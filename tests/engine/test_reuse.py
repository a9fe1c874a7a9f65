"""What is computed once: embeddings across a study, the negative prompt, MagCache's calibration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cogexp import run
from cogexp.engine import generate, magcache
from cogexp.engine.models import MODELS
from cogexp.spec import RunSpec
from tests.engine.flags import STEPS, spec_with
from tests.needs import needs


@pytest.fixture(autouse=True)
def _nothing_held() -> Iterator[None]:
    MODELS.free()
    yield
    MODELS.free()


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that goes through the text encoder."""
    texts: list[str] = []
    original = generate.encode_texts

    def watched(spec: RunSpec, asked: list[str], device: str) -> Any:
        texts.extend(asked)
        return original(spec, asked, device)

    monkeypatch.setattr(generate, "encode_texts", watched)
    return texts


def short(text: str, **changes: Any) -> RunSpec:
    sampler = {"steps": 1, **changes.pop("sampler", {})}
    return spec_with(
        prompt={"text": text, **changes.pop("prompt", {})},
        sampler=sampler,
        metrics={"names": "none"},
        **changes,
    )


def test_a_study_encodes_every_text_once(tmp_path: Path, encoded: list[str]) -> None:
    for spec in (
        short("a fox"),
        short("a fox", seed=1),
        short("a wolf"),
        short("a wolf", sampler={"steps": 2}),
        short("a wolf", prompt={"negative": "a fox"}),
    ):
        record = run(spec, tmp_path, device="cpu")
        assert record.status == "ok", record.error
    assert encoded == ["a fox", "", "a wolf"]


def test_guidance_may_come_after_a_run_without_it(tmp_path: Path, encoded: list[str]) -> None:
    assert run(short("a fox", sampler={"guidance": 1.0}), tmp_path, device="cpu").status == "ok"
    assert encoded == ["a fox"]
    guided = run(short("a fox"), tmp_path, device="cpu")
    assert (guided.status, encoded) == ("ok", ["a fox", ""])
    alone = run(short("a fox"), tmp_path / "alone", device="cpu")
    clips = [tmp_path / where / "runs" / alone.run_id / "native.mp4" for where in (".", "alone")]
    assert clips[0].read_bytes() == clips[1].read_bytes()


def test_without_guidance_there_is_one_pass_of_batch_one() -> None:
    spec = short("a fox", sampler={"guidance": 1.0, "steps": 3})
    seen: list[int] = []
    transformer = MODELS.part("transformer", spec, "cpu")
    transformer.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(len(kwargs["hidden_states"])), with_kwargs=True
    )
    generate.denoise(spec, generate.encode(spec, "cpu"), "cpu", lambda done, total: None)
    assert seen == [1, 1, 1]


@needs("optimization.cache=magcache")
def test_the_ratios_are_those_of_diffusers_own_calibration(capsys: pytest.CaptureFixture[str]) -> None:
    """It prints them; ours are recorded by hooks of our own."""
    from diffusers.hooks import MagCacheConfig

    spec = spec_with()
    embeddings = generate.encode(spec, "cpu")
    ours = generate.calibrate(spec, embeddings, "cpu", lambda done, total: None)
    transformer = MODELS.part("transformer", spec, "cpu")
    transformer.enable_cache(MagCacheConfig(calibrate=True, num_inference_steps=STEPS))
    generate.denoise(spec, embeddings, "cpu", lambda done, total: None)
    printed = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("[1"))
    assert len(ours) == STEPS
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(json.loads(printed)), rtol=1e-5, atol=1e-5)


@needs("optimization.cache=magcache")
def test_magcache_is_calibrated_once_and_kept(tmp_path: Path, encoded: list[str]) -> None:
    def job(seed: int, **sampler: Any) -> RunSpec:
        return short(
            "a fox", seed=seed, sampler={"steps": STEPS, **sampler}, optimization={"cache": "magcache"}
        )

    first = run(job(0), tmp_path, device="cpu")
    assert first.status == "ok", first.error
    assert "calibrated in one exact clip" in first.resolved["magcache"]
    assert "attention layers skipped" in first.resolved["optimization.cache"]
    files = list((tmp_path / "store" / "magcache").glob("*.json"))
    assert len(files) == 1
    kept = json.loads(files[0].read_text("utf-8"))
    assert (kept["model"], kept["size"], len(kept["ratios"])) == ("nano", "64x64x9", STEPS)
    assert encoded == ["a fox", "", magcache.CALIBRATION_TEXT]
    second = run(job(1), tmp_path, device="cpu")
    assert second.resolved["magcache"] == f"calibrated earlier: {files[0].name}"
    assert len(encoded) == 3
    # Another sampler has other ratios; and the same clip comes of another prompt's calibration as of its own.
    run(job(0, scheduler="dpm"), tmp_path, device="cpu")
    assert len(list((tmp_path / "store" / "magcache").glob("*.json"))) == 2
    other = run(replace(job(1), seed=1), tmp_path / "other", device="cpu")
    clips = [tmp_path / where / "runs" / other.run_id / "native.mp4" for where in (".", "other")]
    assert clips[0].read_bytes() == clips[1].read_bytes()


def test_a_damaged_calibration_is_made_again(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    assert magcache.read(file) is None
    for broken in ("", "{}", '{"ratios": 3}', '{"ratios": ["x"]}'):
        file.write_text(broken)
        assert magcache.read(file) is None
    magcache.write(file, [1.0, 0.5], {"model": "nano"})
    assert magcache.read(file) == [1.0, 0.5]
