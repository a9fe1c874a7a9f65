"""Watching leaves no trace: frames are bit-equal, hooks are gone, also after an exception."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import CogVideoXPipeline

from cogexp.engine import generate
from cogexp.engine.decode import decode_stream
from cogexp.engine.models import MODELS
from cogexp.inspect import Activations, EngineSource, activations, observe
from cogexp.inspect.watch import text_layer_names, text_layers, transformer_blocks, vae_layers, vae_stages
from cogexp.inspect.watched import fitted
from cogexp.nano import weights
from cogexp.spec import RunSpec, SamplerSpec
from tests.inspect.test_shapes import spec_of

PARTS = ("text_encoder", "transformer", "vae")


def small(**sampler: Any) -> RunSpec:
    spec = spec_of("nano", 128, 96)
    plain = {"scheduler": "ddim", "steps": 3, "guidance": 6.0, "dynamic_cfg": False} | sampler
    return replace(spec, sampler=SamplerSpec(**plain))


def source(spec: RunSpec) -> EngineSource:
    return EngineSource.of(spec, "cpu")


@pytest.fixture(scope="module")
def found() -> Activations:
    return observe(source(small()))


def hooks() -> list[str]:
    """Modules of the held parts that still have a hook."""
    return [
        f"{part}.{name}"
        for part in PARTS
        for name, module in MODELS.part(part, small(), "cpu").named_modules()
        if module._forward_hooks or module._forward_pre_hooks or module._forward_hooks_always_called
    ]


def test_frames_are_bit_equal_with_and_without(found: Activations) -> None:
    spec = small()
    embeddings = generate.encode(spec, "cpu")
    latents = generate.denoise(spec, embeddings, "cpu", lambda done, total: None)
    plain = np.concatenate(list(generate.decode(spec, latents, "cpu")))
    assert np.array_equal(found.frames, plain)
    assert hooks() == []


def test_no_hook_and_no_processor_remains_after_an_exception() -> None:
    spec = small()
    transformer = MODELS.part("transformer", spec, "cpu")
    before = dict(transformer.attn_processors)

    def fails(done: int, total: int) -> None:
        raise KeyboardInterrupt

    class Failing(EngineSource):
        def denoise(self, embeddings: Any, on_step: Any) -> Any:
            return generate.denoise(self.spec, embeddings, self.device, fails)

    with pytest.raises(KeyboardInterrupt):
        observe(Failing(spec=spec, device="cpu"))
    assert hooks() == []
    assert all(transformer.attn_processors[name] is processor for name, processor in before.items())


@pytest.mark.parametrize("part", PARTS)
def test_hooks_are_gone_after_an_exception_inside_the_model(part: str) -> None:
    module = MODELS.part(part, small(), "cpu")
    contexts = {
        "text_encoder": lambda: text_layers(module, lambda layer, call, states: None),
        "transformer": lambda: transformer_blocks(
            module, prompt=torch.zeros(1, 48, 192), weights=torch.ones(48, 1), blocks=(0, 3), steps=(0,)
        ),
        "vae": lambda: vae_layers(module.decoder, widest=8, count=2),
    }
    with contexts[part]():
        assert hooks() != []
    assert hooks() == []

    calls = {
        "text_encoder": lambda: module(torch.full((1, 7), 10**6)),  # no such token
        "transformer": lambda: module(torch.zeros(1, 3, 5, 12, 16), torch.zeros(1, 48, 192), torch.ones(1)),
        "vae": lambda: module.decode(torch.zeros(1, 5, 3, 12, 16)),  # channels that it does not have
    }

    def broken() -> None:
        with torch.no_grad(), contexts[part]():
            calls[part]()

    with pytest.raises((RuntimeError, IndexError)):
        broken()
    assert hooks() == []


def test_what_is_kept_has_the_shapes_of_the_model(found: Activations) -> None:
    assert [layer.name for layer in found.text] == ["embedding", "layer 0", "layer 1", "final norm"]
    assert found.prompt.tokens == ("two", "wolf", "</s>")
    assert {layer.states.shape for layer in found.text} == {(4, 192)}  # and one token of padding
    assert found.passes.grid == (3, 6, 8)
    assert found.blocks == tuple(range(8))
    assert found.steps == (0, 1, 2)
    assert set(found.passes.attention) == {(step, block) for step in range(3) for block in range(8)}
    assert found.maps(0, 0).shape == (4, 3, 6, 8)  # two words, marks, padding
    vae = MODELS.part("vae", small(), "cpu")
    for half, layers in ((vae.encoder, found.encoder), (vae.decoder, found.decoder)):
        assert list(layers) == [name for name, _ in vae_stages(half)]
    assert found.decoder["conv_out"].shape == (3, 9, 96, 128)
    assert found.encoder["conv_out"].shape == (32, 3, 12, 16)
    assert [found.shown_frame(t) for t in range(3)] == [0, 4, 8]


@pytest.mark.parametrize("shape", [(3, 12, 16), (4, 9, 10)], ids=["one group", "two groups"])
def test_the_lean_decoder_shows_what_diffusers_decoder_shows(shape: tuple[int, int, int]) -> None:
    """It takes the layers apart and works in place, but their outputs are the same bits."""
    vae = MODELS.part("vae", small(), "cpu")
    latents = torch.randn(1, shape[0], 16, *shape[1:], generator=torch.Generator().manual_seed(2))
    seen, frames = [], []
    for lean in (True, False):
        with torch.no_grad(), vae_layers(vae.decoder, widest=24, count=4) as maps:
            frames.append(np.concatenate(list(decode_stream(vae, latents, lean=lean))))
        seen.append(maps)
    assert np.array_equal(*frames)
    ours, theirs = seen
    assert list(ours) == list(theirs) == [name for name, _ in vae_stages(vae.decoder)]
    for name in theirs:
        assert ours[name].shape == theirs[name].shape
        assert ours[name].channels == theirs[name].channels, name
        assert np.array_equal(ours[name].maps, theirs[name].maps), name
        assert np.array_equal(ours[name].rgb, theirs[name].rgb), name
    assert hooks() == []


def test_text_layers_are_those_that_transformers_reports(found: Activations) -> None:
    tokenizer = MODELS.part("tokenizer", small(), "cpu")
    # One of its own: asked for hidden states, transformers leaves hooks in the module.
    encoder = weights.components(("text_encoder",))["text_encoder"]
    ids = tokenizer("two wolves", max_length=48, padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        states = encoder(ids, output_hidden_states=True).hidden_states
    # transformers gives the embedding, then layers; its last one is after the final norm.
    for index, theirs in ((0, states[0]), (1, states[1]), (-1, states[-1])):
        assert found.text[index].states == pytest.approx(theirs[0, :4].numpy(), abs=1e-6)
    assert text_layer_names(encoder) == [layer.name for layer in found.text]


def test_the_pass_with_the_prompt_is_read_however_guidance_is_run(found: Activations) -> None:
    spec = small()
    split = replace(spec, optimization=replace(spec.optimization, split_cfg=True))
    again = observe(source(split), layers=(2,), steps=(0, 2))
    for step in (0, 2):
        assert again.maps(step, 2) == pytest.approx(found.maps(step, 2), rel=1e-3, abs=1e-7)
    alone = observe(source(small(guidance=1.0)), layers=(2,), steps=(0,))
    assert alone.maps(0, 2) == pytest.approx(found.maps(0, 2), rel=1e-3, abs=1e-7)
    assert again.all_blocks == 8


def test_attention_sums_to_one_over_words_marks_padding_and_video(found: Activations) -> None:
    for step in found.steps:
        for block in found.blocks:
            text = found.maps(step, block).sum(0)
            assert (text > 0).all()
            assert (text < 1).all()
    # Over all tokens it is exactly 1: tests/inspect/test_attention.py; here text and video are both there.


def test_a_users_pipeline_gives_what_the_engine_gives(found: Activations) -> None:
    pipeline = CogVideoXPipeline(**weights.components())
    pipeline.set_progress_bar_config(disable=True)
    own = activations(
        pipeline,
        "two wolves",
        layers=[1],
        steps=[2],
        height=96,
        width=128,
        num_frames=9,
        num_inference_steps=3,
    )
    assert np.array_equal(own.frames, found.frames)
    assert own.maps(2, 1) == pytest.approx(found.maps(2, 1), rel=1e-4, abs=1e-8)
    assert own.passes.views[2, 1].norms == pytest.approx(found.passes.views[2, 1].norms, rel=1e-4)
    with pytest.raises(ValueError, match=r"layers must lie in 0\.\.7, got 8"):
        activations(pipeline, "x", layers=[8], height=96, width=128, num_frames=9)


def test_another_video_reaches_the_encoder_scaled_and_cut() -> None:
    clip = np.zeros((12, 60, 200, 3), np.uint8)
    clip[:, :, 100:] = 255
    made = fitted(clip, (96, 128))
    assert made.shape == (9, 96, 128, 3)
    assert made[0, 50, 10].tolist() == [0, 0, 0]
    assert made[0, 50, 120].tolist() == [255, 255, 255]
    assert fitted(clip[:3], (96, 128)).shape == (1, 96, 128, 3)
    assert fitted(made, (96, 128)) is not clip


def test_a_pass_that_was_never_seen_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrapper that skips a block must not leave a hole in the atlas unsaid."""
    spec = small()
    block = MODELS.part("transformer", spec, "cpu").transformer_blocks[1]
    monkeypatch.setattr(block, "forward", lambda hidden_states, encoder_hidden_states, *a, **k: (
        hidden_states, encoder_hidden_states))  # fmt: skip
    with pytest.raises(RuntimeError, match=r"no pass with the prompt was seen at \(step, block\) \(0, 1\)"):
        observe(source(spec), layers=(0, 1), steps=(0,))
    assert hooks() == []
