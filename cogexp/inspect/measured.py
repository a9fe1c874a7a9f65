"""The text encoder measured layer by layer over many prompts: what pictures of one prompt cannot say."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cogexp.inspect import measures
from cogexp.inspect.probes import PROBES, Accuracy, accuracy
from cogexp.inspect.sources import Source
from cogexp.inspect.suite import Example, examples
from cogexp.inspect.watch import text_layer_names, text_layers
from cogexp.inspect.words import Prompt, read_prompt
from cogexp.terminal import Progress, Silent

PROMPTS = 384
BATCH = 8
SAMPLED = 2  # tokens of a prompt in the common sample: 768 of 384 prompts


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Figures by layer, in the order of `names`.

    `cka` (layers, layers); `rank`: effective rank of `tokens` sampled tokens, at most `rank_bound`; `within`:
    mean cosine between the tokens of a prompt, `between`: between tokens of different prompts; `probes`:
    accuracies by the probe's name.
    """

    names: tuple[str, ...]
    prompts: int
    tokens: int
    cka: np.ndarray
    rank: tuple[float, ...]
    rank_bound: int
    within: tuple[Interval, ...]
    between: tuple[float, ...]
    probes: dict[str, tuple[Accuracy, ...]]

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "layers": list(self.names),
            "prompts": self.prompts,
            "tokens": self.tokens,
            "cka": [[round(float(value), 4) for value in row] for row in self.cka],
            "effective_rank": [round(value, 2) for value in self.rank],
            "effective_rank_bound": self.rank_bound,
            "cosine_within_prompt": [[round(v, 4) for v in (i.mean, i.low, i.high)] for i in self.within],
            "cosine_between_prompts": [round(value, 4) for value in self.between],
            "probes": {
                name: [
                    {key: round(getattr(one, key), 4) for key in ("mean", "low", "high", "chance")}
                    for one in found
                ]
                for name, found in self.probes.items()
            },
        }


@dataclass(frozen=True, kw_only=True)
class _Tokens:
    """What is kept of a layer over the suite: the asked animal's tokens, the last ones, a sample, cosines."""

    animal: np.ndarray
    end: np.ndarray
    sample: np.ndarray
    within: np.ndarray


def measure(source: Source, *, prompts: int = PROMPTS, progress: Progress | None = None) -> Measured:
    """Run the suite through the text encoder and measure every layer. Needs scikit-learn."""
    progress, suite = progress or Silent(), examples(prompts)
    names, layers = _collect(source, suite, progress)
    grams = [measures.gram(layer.sample) for layer in layers]
    probes: dict[str, tuple[Accuracy, ...]] = {}
    # The matrices are small: threads of the BLAS cost more than they give, most of all on a busy machine.
    with progress.stage("measure layers", len(PROBES) * len(layers)) as advance, _one_thread():
        for index, probe in enumerate(PROBES):
            found = []
            for done, layer in enumerate(layers, 1):
                found.append(accuracy(getattr(layer, probe.token), suite, probe))
                advance(index * len(layers) + done)
            probes[probe.name] = tuple(found)
    count, width = layers[0].sample.shape
    return Measured(
        names=tuple(names),
        prompts=len(suite),
        tokens=count,
        cka=measures.cka_matrix(grams),
        rank=tuple(map(measures.effective_rank, grams)),
        rank_bound=min(count - 1, width),
        within=tuple(_interval(layer.within) for layer in layers),
        between=tuple(measures.mean_cosine(layer.sample) for layer in layers),
        probes=probes,
    )


def _one_thread() -> AbstractContextManager[Any]:
    """NumPy's and SciPy's BLAS with one thread; scikit-learn brings the library that can set it."""
    from threadpoolctl import threadpool_limits

    limit: AbstractContextManager[Any] = threadpool_limits(1, user_api="blas")
    return limit


def _interval(values: np.ndarray) -> Interval:
    """Mean and 1.96 standard errors."""
    mean, error = float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5)
    return Interval(mean=mean, low=mean - 1.96 * error, high=mean + 1.96 * error)


@torch.no_grad()
def _collect(source: Source, suite: Sequence[Example], progress: Progress) -> tuple[list[str], list[_Tokens]]:
    with source.parts("tokenizer", "text_encoder") as (tokenizer, encoder):
        length = source.text_length
        read = [read_prompt(tokenizer, example.text, length) for example in suite]
        names = text_layer_names(encoder)
        kept: list[dict[str, list[np.ndarray]]] = [
            {"animal": [], "end": [], "sample": [], "within": []} for _ in names
        ]
        drawn = [_sampled(prompt, index) for index, prompt in enumerate(read)]

        def seen(layer: int, call: int, states: Tensor) -> None:
            for row, tokens in enumerate(states, call * BATCH):
                part = _of_prompt(tokens, read[row], suite[row].animal, drawn[row])
                for key, value in part.items():
                    kept[layer][key].append(value)

        with progress.stage("read prompts", len(suite)) as advance, text_layers(encoder, seen):
            for at in range(0, len(suite), BATCH):
                texts = [example.text for example in suite[at : at + BATCH]]
                ids = tokenizer(
                    texts, max_length=length, padding="max_length", truncation=True, return_tensors="pt"
                ).input_ids
                encoder(ids.to(source.device))  # no mask, as the pipeline does it
                advance(min(at + BATCH, len(suite)))
    layers = [_Tokens(**{key: np.concatenate(values) for key, values in layer.items()}) for layer in kept]
    return names, layers


def _of_prompt(tokens: Tensor, prompt: Prompt, animal: str, drawn: np.ndarray) -> dict[str, np.ndarray]:
    """What is kept of one prompt's (L, d) states."""
    states = tokens[: len(prompt.tokens)].float().cpu().numpy()
    word = next(word for word in prompt.words if word.text == animal)
    return {
        "animal": states[list(word.tokens)].mean(0, keepdims=True),
        "end": states[-1:],
        "sample": states[drawn],
        "within": np.array([measures.mean_cosine(states)]),
    }


def _sampled(prompt: Prompt, index: int) -> np.ndarray:
    """Different tokens of a prompt, the same in every layer."""
    return np.random.default_rng(index).choice(len(prompt.tokens), SAMPLED, replace=False)
