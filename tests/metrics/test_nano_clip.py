"""The nano world's CLIP behind the metrics: known features, its name, and nothing without its weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cogexp.build import build
from cogexp.metrics import measure, nano_clip, networks
from cogexp.metrics.clip import unit
from cogexp.nano import clip, weights
from cogexp.spec import MetricsSpec, SpecError


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights as they would be shipped; random ones are as good here."""
    from safetensors.torch import save_file

    model = clip.build_clip(seed=4)
    state = {name: t.half() if t.is_floating_point() else t for name, t in model.state_dict().items()}
    save_file({name: t.contiguous() for name, t in state.items()}, tmp_path / "clip.safetensors")
    for function in (clip.available, clip.load_clip, weights.weight_file):
        arguments = function.__defaults__
        assert arguments is not None
        monkeypatch.setattr(function, "__defaults__", (tmp_path,))
    networks.release()
    return tmp_path


def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 72, 128, 3), dtype=np.uint8)


def test_it_is_the_default_of_the_embedded_model_and_of_no_other(shipped: Path) -> None:
    nano = build({"model": {"name": "nano"}, "device": "cpu", "prompt": {"text": "two wolves"}})
    assert nano.spec.metrics.clip_model == nano_clip.NAME
    public = {"model": {"name": "cogvideox-5b"}, "device": "cuda", "prompt": {"text": "two wolves"}}
    assert build(public).spec.metrics.clip_model == MetricsSpec().clip_model
    with pytest.raises(SpecError, match=r"metrics\.clip_model=cogexp/nano-clip .*nearest: .*auto"):
        build({**public, "metrics": {"clip_model": nano_clip.NAME}})


def test_a_clip_that_was_chosen_stays(shipped: Path) -> None:
    config = {"model": {"name": "nano"}, "device": "cpu", "prompt": {"text": "a"}}
    chosen = build({**config, "metrics": {"clip_model": "openai/clip-vit-base-patch32"}})
    assert chosen.spec.metrics.clip_model == "openai/clip-vit-base-patch32"


def test_the_score_is_the_cosine_of_its_features_and_bears_its_name(shipped: Path) -> None:
    found = measure(frames(), 8, "two wolves", ["clip_score"], clip_model=nano_clip.NAME, height=72)
    assert found.notes["clip_score"] == "cogexp/nano-clip"
    model = clip.load_clip(shipped)
    cosine = clip.image_features(model, frames()) @ clip.text_features(model, ["two wolves"])[0]
    score = found.scores["clip_score"]
    assert score is not None
    assert score == pytest.approx(float((100 * cosine.clamp(min=0)).mean()), abs=1e-3)


def test_words_outside_its_world_are_named(shipped: Path) -> None:
    network = networks.load("clip", nano_clip.NAME, "cpu")
    assert network.embed_text("a wolf and a spaceship")[1] == "not in the nano world: spaceship"
    vector, remark = network.embed_text("two wolves")
    assert remark == ""
    np.testing.assert_allclose(unit(vector), vector, rtol=1e-5)


def test_it_says_nothing_of_good_and_bad_photos(shipped: Path) -> None:
    found = measure(frames(), 8, "two wolves", ["clip_iqa"], clip_model=nano_clip.NAME)
    assert found.scores["clip_iqa"] is None
    assert "nano-clip" in found.skipped["clip_iqa"]


def test_without_weights_it_is_skipped_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip.available, "__defaults__", (tmp_path,))
    networks.release()
    found = measure(frames(), 8, "two wolves", ["clip_score"], clip_model=nano_clip.NAME)
    assert found.scores["clip_score"] is None
    assert "python -m cogexp.nano.train clip" in found.skipped["clip_score"]


def test_a_prompt_beyond_its_window_is_named_beside_the_score() -> None:
    network = nano_clip.NanoClip(model=clip.build_clip(0))
    _, remark = network.embed_text("a gray wolf in a forest " * 10 + "castle")
    assert remark.startswith("not in the nano world: castle; prompt cut: its CLIP reads 48 of ")
    assert network.embed_text("a gray wolf")[1] == ""


def test_there_is_nothing_to_fetch() -> None:
    from cogexp.metrics.fetch import needed

    assert [w.kind for w in needed("default", nano_clip.NAME)] == ["lpips"]


def test_the_name_stands_beside_the_score_on_the_sheet() -> None:
    from cogexp.pictures import labelled

    resolved = {"metrics.clip_score": "cogexp/nano-clip; prompt cut", "metrics.warp_error": "farneback"}
    assert labelled("native/clip_score", resolved) == "native/clip_score (nano-clip)"
    assert labelled("native/warp_error", resolved) == "native/warp_error"


def test_unknown_words_of_a_prompt_are_a_notice_of_the_embedded_model() -> None:
    config = {"model": {"name": "nano"}, "device": "cpu", "prompt": {"text": "a wolf in a spaceship"}}
    assert build(config).resolved["prompt"] == "not in the nano world: spaceship"
    assert "prompt" not in build({**config, "prompt": {"text": "two wolves"}}).resolved
    public = {**config, "model": {"name": "cogvideox-5b"}, "device": "cuda"}
    assert "prompt" not in build(public).resolved
