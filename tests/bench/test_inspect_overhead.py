"""What watching costs beside making a clip: CPU seconds of watched and unwatched denoising, side by side."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch

from cogexp.engine import generate
from cogexp.inspect import EngineSource
from cogexp.inspect.watch import transformer_blocks
from cogexp.inspect.watched import attention_weights
from cogexp.inspect.words import read_prompt
from cogexp.nano import weights
from cogexp.spec import RunSpec
from tests.inspect.test_shapes import spec_of

WATCHED, STEPS = 3, 20  # of a default run of the embedded model


def spec_with_steps(width: int, height: int, steps: int) -> RunSpec:
    spec = spec_of("nano", width, height)
    return replace(
        spec,
        sampler=replace(spec.sampler, steps=steps),
        prompt=replace(spec.prompt, text="two wolves running through a snowy forest"),
    )


def denoise(spec: RunSpec, *, watched: bool) -> tuple[float, torch.Tensor]:
    """CPU seconds of one denoising of `spec` and its latents; watched, all blocks of all steps."""
    source = EngineSource.of(spec, "cpu")
    embeddings = source.encode()
    prompt = read_prompt(weights.components(("tokenizer",))["tokenizer"], spec.prompt.text, 48)
    columns = attention_weights(prompt, torch.full((len(prompt.words), 48), 1 / len(prompt.words)))
    with source.parts("transformer") as (transformer,):
        steps = range(spec.sampler.steps) if watched else ()
        with transformer_blocks(
            transformer, prompt=embeddings["prompt"], weights=columns, blocks=range(8), steps=steps
        ):
            started = time.process_time()
            latents = generate.denoise(source.spec, embeddings, "cpu", lambda done, total: None)
            return time.process_time() - started, latents


@pytest.mark.bench
def test_overhead_of_watching_three_of_twenty_steps() -> None:
    denoise(spec_with_steps(512, 288, 1), watched=True)  # warm
    spec = spec_with_steps(512, 288, 3)
    plain, watched = (denoise(spec, watched=on)[0] / 3 for on in (False, True))
    share = WATCHED * (watched - plain) / (STEPS * plain)
    print(
        f"\na step of nano at 512x288: {plain:.2f} CPU s, watched in all 8 blocks {watched:.2f}; "
        f"{WATCHED} of {STEPS} steps watched: {share:+.1%} of denoising"
    )


def test_in_short_both_give_the_same_latents() -> None:
    spec = spec_with_steps(64, 64, 1)
    assert torch.equal(denoise(spec, watched=False)[1], denoise(spec, watched=True)[1])
