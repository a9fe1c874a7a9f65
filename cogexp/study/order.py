"""The order of a study's jobs, so that models, prompt embeddings and latents are used again most.

A job costs least right after one that shares what is dear: the loaded model and its optimization, then the
prompt's embeddings, then the latents, then the decoded frames. `todo` says what each job has left to compute.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from cogexp.spec import PromptSpec, ResolutionSpec, RunSpec, SamplerSpec
from cogexp.store import Keys, Store

STAGES = ("encode", "denoise", "decode", "upscale", "measure")

# Any values do: with these for all, two specs have one denoise key when they run the same transformer.
_ANY = {
    "prompt": PromptSpec(name="", text="."),
    "resolution": ResolutionSpec(width=64, height=64, frames=9, fps=8),
    "sampler": SamplerSpec(scheduler="ddim", steps=1, guidance=1.0),
    "seed": 0,
}


def model_key(spec: RunSpec) -> str:
    """Jobs with the same key need nothing loaded anew between them."""
    loaded = [spec.to_dict()["model"], spec.optimization.offload]
    return json.dumps(loaded, sort_keys=True) + Keys.of(replace(spec, **_ANY)).denoise  # type: ignore[arg-type]


LEVELS: tuple[Callable[[RunSpec], str], ...] = (
    model_key,
    lambda spec: Keys.of(spec).encode,
    lambda spec: Keys.of(spec).denoise,
    lambda spec: Keys.of(spec).decode,
)


def order(specs: Sequence[RunSpec]) -> list[int]:
    """Indices of `specs` in the order to run them: whatever shares a level's key stands together.

    Within a level smaller values come first, so the order does not depend on the one that was given.
    """
    shown = [_readable(spec) for spec in specs]
    keys = [[level(spec) for level in LEVELS] for spec in specs]

    def nested(indices: list[int], level: int) -> Iterator[int]:
        if level == len(LEVELS):
            yield from sorted(indices, key=lambda index: shown[index])
            return
        groups: dict[str, list[int]] = {}
        for index in indices:
            groups.setdefault(keys[index][level], []).append(index)
        for group in sorted(groups.values(), key=lambda group: min(shown[index] for index in group)):
            yield from nested(group, level + 1)

    return list(nested(list(range(len(specs))), 0))


def todo(specs: Sequence[RunSpec], store: Store) -> list[tuple[str, ...]]:
    """For each of `specs`, run in this order, the stages that neither the store nor an earlier one has."""
    made: set[tuple[str, str]] = set()

    def there(kind: str, key: str) -> bool:
        return (kind, key) in made or store.has(kind, key)

    found = []
    for spec in specs:
        keys, stages = Keys.of(spec), []
        if not there("decode", keys.decode):
            if not there("denoise", keys.denoise):
                stages = ["denoise"] if there("encode", keys.encode) else ["encode", "denoise"]
            stages.append("decode")
        if store.limit_bytes:
            made |= {("encode", keys.encode), ("denoise", keys.denoise), ("decode", keys.decode)}
        if spec.upscaler.name != "none":
            stages.append("upscale")
        if spec.metrics.names:
            stages.append("measure")
        found.append(tuple(stages))
    return found


def _readable(spec: RunSpec) -> tuple[Any, ...]:
    """Every value of the spec, comparable: numbers by size, everything else by its text."""
    plain = spec.to_dict()
    flat = [
        (group, key, value)
        for group, values in plain.items()
        for key, value in (values.items() if isinstance(values, dict) else [("", values)])
    ]
    return tuple((group, key, *_comparable(value)) for group, key, value in flat)


def _comparable(value: Any) -> tuple[int, float, str]:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 0, float(value), ""
    return 1, 0.0, json.dumps(value, sort_keys=True)
