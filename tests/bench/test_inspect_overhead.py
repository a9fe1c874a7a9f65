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


def cpu_seconds(spec: RunSpec, *, watched: bool) -> float:
    """One denoising of `spec`; watched, all blocks of all steps."""
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
            generate.denoise(source.spec, embeddings, "cpu", lambda done, total: None)
            return time.process_time() - started


@pytest.mark.bench
def test_overhead_of_watching_three_of_twenty_steps() -> None:
    spec = spec_of("nano", 512, 288)
    spec = replace(
        spec,
        sampler=replace(spec.sampler, steps=3),
        prompt=replace(spec.prompt, text="two wolves running through a snowy forest"),
    )
    cpu_seconds(replace(spec, sampler=replace(spec.sampler, steps=1)), watched=True)  # warm
    plain, watched = cpu_seconds(spec, watched=False) / 3, cpu_seconds(spec, watched=True) / 3
    share = WATCHED * (watched - plain) / (STEPS * plain)
    print(
        f"\na step of nano at 512x288: {plain:.2f} CPU s, watched in all 8 blocks {watched:.2f}; "
        f"{WATCHED} of {STEPS} steps watched: {share:+.1%} of denoising"
    )
