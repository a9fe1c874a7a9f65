"""Combinations that are put together against those that Hydra composes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hydra import compose
from omegaconf import DictConfig, OmegaConf

from cogexp.cli.combine import Combiner
from cogexp.cli.compose import hydra_ready
from cogexp.cli.words import parse_words

CHOICES = (
    ("resolution=256x144", "resolution=512x288", "resolution=480x272"),
    ("upscaler=none", "upscaler=lanczos", "upscaler=esrgan"),
    ("upscaler.scale=2",),
    ("prompt=wolves", "prompt=water"),
)


def combinations(*choices: Sequence[str]) -> list[list[str]]:
    return [list(words) for words in itertools.product(*choices)]


def test_the_configs_are_hydras_own_from_fewer_compositions() -> None:
    asked: list[Sequence[str]] = []

    def counted(words: Sequence[str]) -> DictConfig:
        asked.append(words)
        return compose("config", overrides=list(words))

    combined = Combiner(counted)
    with hydra_ready(parse_words([])):
        for words in combinations(*CHOICES):
            assert combined(words) == compose("config", overrides=words), words
    assert len(asked) == 1 + 2 + 2 + 1, "each choice once"


def test_what_a_caller_does_with_one_leaves_the_others_alone() -> None:
    combined = Combiner(
        lambda words: OmegaConf.create({word.partition("=")[0]: {"x": word} for word in words})
    )
    for _ in range(2):
        for words in combinations(["prompt=a", "prompt=b"], ["sampler=c", "sampler=d"]):
            found = combined(words)
            assert found == {"prompt": {"x": words[0]}, "sampler": {"x": words[1]}}
            found.prompt.x = "changed"


@pytest.mark.parametrize("words", [["sampler=fine", "prompt=loud"], ["sampler=fine", "seed=2"]], ids=str)
def test_a_choice_that_reaches_outside_its_group_is_left_to_hydra(words: list[str]) -> None:
    def entangled(words: Sequence[str]) -> DictConfig:
        values = dict(word.split("=") for word in words)
        loud = values.get("prompt") == "loud"
        return OmegaConf.create(
            {**values, "metrics": "loudness" if loud else "none", "said": " ".join(words)}
        )

    combined = Combiner(entangled)
    combined(["sampler=coarse", *(["prompt=quiet"] if "prompt=loud" in words else ["seed=1"])])
    assert combined(words) == entangled(words)
