"""A key that a user sets and that has no effect: refused, or left out of the jobs that have no use for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cogexp.build import Request, build
from cogexp.cli.requests import requests_of
from cogexp.cli.words import parse_words
from cogexp.request.effects import BATCHED_METRICS, CLIP_METRICS, RULES
from cogexp.spec import SpecError


def requests(*words: str) -> list[Request]:
    where = [] if any(word.startswith("device=") for word in words) else ["device=cpu"]
    return requests_of(parse_words([*where, *words]), needs_first_frame=False)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    (tmp_path / "model_index.json").write_text("{}")
    return tmp_path


# Words with a key without effect -> what makes it take effect.
WITHOUT = {
    "upscaler.weights=net.safetensors upscaler=none": "upscaler=spandrel",
    "upscaler.weights=net.safetensors upscaler=esrgan": "upscaler=spandrel",
    "upscaler.scale=2 upscaler=none": "upscaler=esrgan",
    "upscaler.blend=0.5 upscaler=none": "upscaler=esrgan",
    "upscaler.blend=0.5 upscaler=lanczos": "another upscaler",
    "upscaler.tile_px=64 upscaler=none": "upscaler=esrgan",
    "upscaler.tile_px=64 upscaler=bicubic": "upscaler=esrgan",
    "sampler.dynamic_cfg=true sampler.guidance=1": "sampler.guidance above 1",
    "prompt.negative=blurry sampler.guidance=1": "sampler.guidance above 1",
    "prompt.image=first.png model=nano": "model=cogvideox-5b-i2v",
    "optimization.split_cfg=true sampler.guidance=1": "sampler.guidance above 1",
    "optimization.vae_tiling=true resolution=128x128": "a larger resolution",
    "optimization.vae_slicing=true": "leave it out",
    "optimization.offload=model": "device=cuda",
    "nano.undertrained=true model=cogvideox-2b": "model=nano",
    "model.weights=random nano.undertrained=true model=nano": "nano.undertrained=false",
    "model.path=FOLDER model.weights=random model=cogvideox-5b": "model.weights=pretrained",
    "model.revision=main model.path=FOLDER model=cogvideox-5b": "a model of the hub",
    "model.revision=main model=nano": "a model of the hub",
    "model.revision=main model.weights=random model=cogvideox-5b": "model.weights=pretrained",
    "metrics.clip_model=openai/clip-vit-base-patch32 metrics=fast": "metrics.names=clip_score",
    "metrics.batch=4 metrics=fast": "metrics.names=clip_score",
    "metrics.height=480 metrics=none": "metrics=fast",
    "tracking.project=mine tracking=off": "tracking=auto",
    "tracking.entity=me tracking=off": "tracking=auto",
}


def test_every_rule_has_a_case() -> None:
    assert {words.partition("=")[0] for words in WITHOUT} == {rule.key for rule in RULES}


@pytest.mark.parametrize("words", WITHOUT)
def test_a_key_without_effect_is_refused_with_what_gives_it_one(words: str, checkpoint: Path) -> None:
    given = [word.replace("FOLDER", str(checkpoint)) for word in words.split()]
    key = given[0].partition("=")[0]
    with pytest.raises(SpecError) as refused:
        requests(*given)
    said = str(refused.value)
    assert said.startswith(f"{key} has no effect ")
    assert WITHOUT[words] in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "words",
    [
        "upscaler.blend=0 upscaler=none",
        "upscaler.weights=null upscaler=esrgan",
        "optimization.offload=none",
        "sampler.dynamic_cfg=false sampler.guidance=1",
        "optimization=balanced",  # a preset's own offload, on a CPU
        "sampler=dpm sampler.guidance=1",
        "optimization=vae-slicing",
        "upscaler.blend=0.5 upscaler=bicubic",
        "upscaler.tile_px=64 upscaler=esrgan",
        "metrics.batch=4 metrics.names=[lpips_adjacent]",
        "optimization.vae_tiling=true resolution=512x288",
        "optimization.offload=model device=cuda model=nano",
    ],
)
def test_what_asks_for_nothing_or_is_a_presets_own_is_not_refused(words: str) -> None:
    assert len(requests(*words.split())) == 1


def test_a_sweep_drops_the_key_where_it_has_no_effect_and_says_so() -> None:
    plain, network = requests("-m", "upscaler=none,esrgan", "upscaler.blend=0.5")
    assert network.spec.upscaler.blend == 0.5
    assert "upscaler.blend" not in network.resolved
    assert plain.resolved["upscaler.blend"].startswith("left out: it has no effect with upscaler=none")
    (alone,) = requests("upscaler=none")
    assert plain.spec.run_id == alone.spec.run_id


def test_a_users_network_in_a_sweep_of_upscalers(tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    file.write_bytes(b"x")
    lanczos, own = requests("-m", "upscaler=lanczos,spandrel", f"upscaler.weights={file}")
    assert (lanczos.spec.upscaler.weights, own.spec.upscaler.weights) == (None, str(file))
    assert "it takes upscaler=spandrel" in lanczos.resolved["upscaler.weights"]


def test_an_axis_without_effect_in_any_job_is_refused() -> None:
    with pytest.raises(SpecError, match=r"upscaler.blend has no effect with upscaler=none"):
        requests("-m", "upscaler=none", "upscaler.blend=0,0.5")
    jobs = requests("-m", "sampler.guidance=1,3", "prompt.negative=blurry")
    assert [job.spec.prompt.negative for job in jobs] == ["", "blurry"]


def test_a_ready_studys_own_words_are_not_the_users() -> None:
    """quick sets upscaler.scale=2 for its lanczos."""
    assert requests("sweep=quick", "upscaler=none")
    with pytest.raises(SpecError, match=r"upscaler.scale has no effect"):
        requests("sweep=quick", "upscaler=none", "upscaler.scale=2")


NANO = {"model": {"name": "nano"}, "device": "cpu", "prompt": {"text": "two wolves"}}


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ({"sampler": {"guidance": 1.0}}, "prompt.negative", "blurry"),
        ({"sampler": {"guidance": 1.0}}, "sampler.dynamic_cfg", True),
        ({"metrics": {"names": "fast"}}, "metrics.clip_model", "openai/clip-vit-base-patch32"),
        ({"metrics": {"names": "fast"}}, "metrics.batch", 3),
        ({"metrics": {"names": "none"}}, "metrics.height", 480),
        ({"upscaler": {"name": "bicubic"}}, "upscaler.tile_px", 64),
        ({"upscaler": {"name": "lanczos"}}, "upscaler.blend", 0.5),
        ({"upscaler": {"name": "none"}}, "upscaler.blend", 0.5),
    ],
)
def test_identity_does_not_depend_on_a_key_without_effect(
    setting: dict[str, Any], key: str, value: object
) -> None:
    group, name = key.split(".")
    base = {**NANO, **setting}
    changed = {**base, group: {**base.get(group, {}), name: value}}
    assert build(changed).spec.run_id == build(base).spec.run_id


def test_run_ids_of_plain_settings_stay() -> None:
    """As they were before keys without effect were left out."""
    assert build(NANO).spec.run_id == "nano-512x288-none-s0-8d921e67"
    five = {**NANO, "model": {"name": "cogvideox-5b"}, "device": "cuda", "upscaler": {"name": "esrgan"}}
    assert build(five).spec.run_id == "cogvideox-5b-720x480-esrgan-s0-57536a16"


def test_metrics_with_networks_are_those_of_the_table() -> None:
    from cogexp.metrics.measurement import METRICS

    assert {name for name, metric in METRICS.items() if "clip" in metric.networks} == set(CLIP_METRICS)
    batched = {name for name, m in METRICS.items() if {"clip", "dino", "lpips"} & set(m.networks)}
    assert batched == set(BATCHED_METRICS)
