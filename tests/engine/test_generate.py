"""The engine against plain diffusers: the same components give the same bits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from diffusers import CogVideoXDPMScheduler, CogVideoXPipeline

from cogexp.build import build
from cogexp.engine import caches, generate
from cogexp.engine.decode import InvalidFrames, decode_stream, frame_groups
from cogexp.engine.models import MODELS
from cogexp.nano import weights
from cogexp.spec import OptimizationSpec, RunSpec
from tests.needs import step_cache


@pytest.fixture(autouse=True)
def _nothing_held() -> Iterator[None]:
    yield
    MODELS.free()


def small(**changes: object) -> RunSpec:
    """A run of a second: 64x64, 9 frames, two steps."""
    config = {
        "model": {"name": "nano"},
        "device": "cpu",
        "resolution": {"width": 64, "height": 64},
        "sampler": {"steps": 2},
        "prompt": {"text": "two wolves"},
        **changes,
    }
    return build(config).spec


def engine_frames(spec: RunSpec) -> np.ndarray:
    embeddings = generate.encode(spec, "cpu")
    latents = generate.denoise(spec, embeddings, "cpu", lambda done, total: None)
    return np.concatenate(list(generate.decode(spec, latents, "cpu")))


def plain_frames(spec: RunSpec) -> np.ndarray:
    """What a user of diffusers would write in ten lines."""
    pipeline = CogVideoXPipeline(**weights.components())
    if spec.sampler.scheduler == "dpm":
        pipeline.scheduler = CogVideoXDPMScheduler.from_config(pipeline.scheduler.config)
    if spec.optimization.vae_tiling:
        pipeline.vae.enable_tiling()
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        spec.prompt.text,
        negative_prompt=spec.prompt.negative or None,
        height=spec.resolution.height,
        width=spec.resolution.width,
        num_frames=spec.resolution.frames,
        num_inference_steps=spec.sampler.steps,
        guidance_scale=spec.sampler.guidance,
        use_dynamic_cfg=spec.sampler.dynamic_cfg,
        generator=torch.Generator("cpu").manual_seed(spec.seed),
        max_sequence_length=weights.MAX_SEQUENCE_LENGTH,
    ).frames[0]
    return np.stack([np.asarray(image) for image in images])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"seed": 7},
        {"sampler": {"steps": 3, "scheduler": "dpm", "dynamic_cfg": True}},
        {"sampler": {"steps": 2, "guidance": 1.0}},
        {"prompt": {"text": "늑대 두 마리", "negative": "red"}},
        {"resolution": {"width": 64, "height": 64, "frames": 17}},
        {"resolution": {"width": 64, "height": 64, "frames": 1}},
    ],
    ids=["default", "seed", "dpm", "no guidance", "negative", "17 frames", "1 frame"],
)
def test_frames_are_bit_equal_to_a_plain_script(changes: dict[str, object]) -> None:
    spec = small(**changes)
    frames = engine_frames(spec)
    assert frames.shape == (spec.resolution.frames, 64, 64, 3)
    np.testing.assert_array_equal(frames, plain_frames(spec))


@pytest.mark.parametrize("latent_frames", [1, 2, 3, 5])
@pytest.mark.parametrize("tiling", [False, True], ids=["whole", "tiled"])
def test_streamed_decode_equals_the_vae_decode(latent_frames: int, tiling: bool) -> None:
    vae = weights.components(("vae",))["vae"]
    if tiling:
        # Tiles of 64x64 with the default overlaps: several of them at this size.
        vae.enable_tiling(tile_sample_min_height=64, tile_sample_min_width=64)
    latents = torch.randn(1, latent_frames, 16, 10, 14, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        z = 1 / vae.config.scaling_factor * latents.permute(0, 2, 1, 3, 4)
        expected = vae.decode(z).sample[0].permute(1, 2, 3, 0)
    unit = (expected / 2 + 0.5).clamp(0, 1)
    chunks = list(decode_stream(vae, latents))
    np.testing.assert_array_equal(np.concatenate(chunks), (unit * 255).round().to(torch.uint8).numpy())
    assert len(chunks) == max(latent_frames // 2, 1)


def test_frame_groups_cover_every_latent_frame_once() -> None:
    for frames in range(1, 30):
        covered = [index for group in frame_groups(frames, 2) for index in range(frames)[group]]
        assert covered == list(range(frames))


def test_nan_latents_are_a_named_failure() -> None:
    vae = weights.components(("vae",))["vae"]
    with pytest.raises(InvalidFrames, match=r"NaN.*model\.dtype"):
        list(decode_stream(vae, torch.full((1, 1, 16, 8, 8), float("nan"))))


def test_the_callers_random_state_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    engine_frames(small())
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "cache", [step_cache(name) for name in ("pab", "fastercache", "firstblock", "taylorseer")]
)
def test_step_caches_take_hold_and_leave_no_trace(cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Eight steps are far apart: at the library's threshold First Block Cache would rightly skip none.
    monkeypatch.setattr(caches, "FIRST_BLOCK_THRESHOLD", 0.5)
    spec = small(sampler={"steps": 8})
    exact = engine_frames(spec)
    cached = engine_frames(dataclasses.replace(spec, optimization=OptimizationSpec(cache=cache)))
    assert not np.array_equal(exact, cached), "the cache changed nothing"
    assert np.abs(exact.astype(int) - cached).mean() < 60
    np.testing.assert_array_equal(engine_frames(spec), exact)


def test_fp8_cast_and_fused_qkv_take_hold() -> None:
    spec = small()
    exact = engine_frames(spec).astype(int)
    with_cast = dataclasses.replace(spec, optimization=OptimizationSpec(layerwise_cast="fp8"))
    cast = engine_frames(with_cast)
    assert MODELS.notes(with_cast, "cpu")["optimization.layerwise_cast"].startswith("fp8 storage of")
    assert MODELS.notes(spec, "cpu") == {}, "another job's flags are not this one's"
    assert 0 < np.abs(exact - cast).mean() < 40
    fused = engine_frames(dataclasses.replace(spec, optimization=OptimizationSpec(fuse_qkv=True)))
    assert np.abs(exact - fused).max() <= 1


def test_parts_are_held_for_the_next_job_and_reloaded_when_the_flags_differ() -> None:
    spec = small()
    engine_frames(spec)
    transformer, vae = MODELS.part("transformer", spec, "cpu"), MODELS.part("vae", spec, "cpu")
    other = dataclasses.replace(spec, seed=3, optimization=OptimizationSpec(vae_tiling=True))
    assert MODELS.part("transformer", other, "cpu") is transformer
    assert MODELS.part("vae", other, "cpu") is vae
    fused = dataclasses.replace(spec, optimization=OptimizationSpec(fuse_qkv=True))
    assert MODELS.part("transformer", fused, "cpu") is not transformer
    assert MODELS.part("vae", fused, "cpu") is vae
