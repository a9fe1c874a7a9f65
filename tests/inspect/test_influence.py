"""What words wrote into tokens, on texts made by hand; where the embedded model reads words, on many prompts.

The truth is the renderer of the model's own world: it was trained where the caption nearly decides where the
animals stand, and the renderer says which pixels they cover.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from cogexp.build import build
from cogexp.inspect.influence import encoded_without, influence, without
from cogexp.inspect.sources import EngineSource
from cogexp.inspect.watch import transformer_blocks
from cogexp.inspect.watched import attention_weights
from cogexp.inspect.words import Word, read_prompt
from cogexp.nano.weights import trained
from cogexp.nano.world.grammar import Scene, caption, sample_scene
from cogexp.nano.world.render import Stage


def test_words_that_follow_move_up_and_padding_fills_the_end() -> None:
    assert without([5, 6, 7, 1, 0], Word(text="b", tokens=(1, 2)), 0) == [5, 1, 0, 0, 0]


def test_a_token_counts_for_the_words_that_move_it() -> None:
    """Two words and a token of padding; the first word writes itself into it, the second nowhere."""
    first, second, zero = torch.eye(4)[0], torch.eye(4)[1], torch.zeros(4)
    whole = torch.stack([first, second, 3 * first])[None]
    variants = [torch.stack([second, zero, zero])[None], torch.stack([first, 3 * first, 3 * first])[None]]
    words = (Word(text="a", tokens=(0,)), Word(text="b", tokens=(1,)))
    assert influence(whole, variants, words).tolist() == [[1, 0, 1], [0, 1, 0]]


def test_what_two_words_move_is_shared_by_how_far_they_move_it() -> None:
    whole = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [3.0, 4.0], [7.0, 7.0]]])
    variants = [torch.tensor([[[0.0, 1.0], [0.0, 0.0], [7.0, 7.0], [0.0, 0.0]]]),
                torch.tensor([[[1.0, 0.0], [3.0, 0.0], [7.0, 7.0], [0.0, 0.0]]])]  # fmt: skip
    found = influence(whole, variants, (Word(text="a", tokens=(0,)), Word(text="b", tokens=(1,))))
    assert found[:, 2].tolist() == pytest.approx([5 / 9, 4 / 9])  # it moves by (3, 4), and by (0, 4)
    assert found[:, 3].tolist() == [0.5, 0.5]  # moved by nobody
    assert found.sum(0).tolist() == pytest.approx([1, 1, 1, 1])


def test_a_prompt_without_words_has_no_shares() -> None:
    assert influence(torch.ones(1, 5, 3), [], ()).shape == (0, 5)


# ---------------------------------------------------------------- the embedded model

WIDTH, HEIGHT, FRAMES, PATCH = 256, 144, 9, 16
STEPS = 6
CLIPS = 12


def covered(scene: Scene) -> np.ndarray:
    """(f, h, w) 0..1: how much of each patch the scene's animals and their shadows cover."""
    stage = Stage(scene, WIDTH, HEIGHT, FRAMES, 0, 0.0)
    pixels = np.stack([stage.cover(index) for index in range(FRAMES)]) / 255
    patches = pixels.reshape(FRAMES, HEIGHT // PATCH, PATCH, WIDTH // PATCH, PATCH).mean((2, 4))
    moments = [patches[:1], *(patches[at - 3 : at + 1] for at in range(4, FRAMES, 4))]
    return np.stack([moment.mean(0) for moment in moments])


@torch.no_grad()
def heat(scene: Scene, seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Maps (f, h, w) of the scene's words, averaged over all blocks and steps of a clip being denoised:
    how much is read of each word, and the attention to its own token."""
    words = {"text": caption(scene, seed if seed % 3 else 0)}  # plain ones, and others in style and order
    config = {"prompt": words, "resolution": {"width": WIDTH, "height": HEIGHT}, "seed": seed}
    spec = build({"model": {"name": "nano"}, "sampler": {"steps": STEPS}, **config}).spec
    source = EngineSource.of(spec, "cpu")
    with source.parts("tokenizer", "text_encoder") as (tokenizer, encoder):
        prompt = read_prompt(tokenizer, source.prompt, source.text_length)
        variants = encoded_without(tokenizer, encoder, prompt)
    embeddings = source.encode()
    weights = attention_weights(prompt, influence(embeddings["prompt"], variants, prompt.words))
    with source.parts("transformer") as (transformer,):
        watching = transformer_blocks(
            transformer, prompt=embeddings["prompt"], weights=weights, blocks=range(8), steps=range(STEPS)
        )
        with watching as passes:
            source.denoise(embeddings, lambda done, total: None)
    count, masses = len(prompt.words), list(passes.attention.values())
    read = np.mean([mass[:, count + 2 :] / mass[:, : count + 2].sum(1, keepdims=True) for mass in masses], 0)
    own = np.mean([mass[:, :count] for mass in masses], 0)
    names = [word.text for word in prompt.words]
    return tuple(
        {name: column.reshape(passes.grid) for name, column in zip(names, maps.T, strict=True)}
        for maps in (read, own)
    )  # type: ignore[return-value]


def test_the_words_of_the_animals_are_read_on_the_animals() -> None:
    if not trained():
        pytest.skip("random weights know no animals")
    rng = np.random.default_rng(7)
    areas: dict[str, list[float]] = {"animal": [], "colour": [], "place": [], "own token": []}
    pointed = []
    for seed in range(CLIPS):
        scene = sample_scene(rng, "heldout" if seed % 2 else "train")
        read, own = heat(scene, seed)
        share = covered(scene)
        truth = (share > 0.3).ravel()
        for name, map_ in (
            ("animal", read[scene.animal]), ("colour", read[scene.colour]),
            ("place", read[scene.place.split()[-1]]), ("own token", own[scene.animal]),
        ):  # fmt: skip
            areas[name].append(float(roc_auc_score(truth, map_.ravel())))
        pointed.append(share.ravel()[read[scene.animal].argmax()] > 0.15)
    mean = {name: float(np.mean(found)) for name, found in areas.items()}
    print({name: round(value, 3) for name, value in mean.items()}, round(float(np.mean(pointed)), 2))
    assert mean["animal"] > 0.95, areas
    assert min(areas["animal"]) > 0.85, areas
    assert mean["colour"] > 0.95, areas
    assert mean["place"] < 0.1, areas  # the place is read around the animals
    assert mean["animal"] > mean["own token"] + 0.2, areas
    assert np.mean(pointed) >= 0.75
