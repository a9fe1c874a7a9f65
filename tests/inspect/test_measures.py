"""Similarity of layers, ranks, cosines and probes: closed forms, brute force, and planted answers."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from cogexp.inspect import claim, measures
from cogexp.inspect.measured import Interval, Measured, measure
from cogexp.inspect.probes import PROBES, Accuracy, Probe, accuracy
from cogexp.inspect.sources import EngineSource
from cogexp.inspect.suite import ACTIONS, PLACES, WHEN, Example, examples
from cogexp.nano.words import ANIMALS, COLOURS
from tests.inspect.test_shapes import spec_of

RANDOM = np.random.default_rng(0)


def test_hsic_is_the_mean_over_all_quadruples() -> None:
    """Unbiased by construction: Song et al. 2012, equation 4, summed by brute force."""
    x, y = RANDOM.normal(size=(6, 3)), RANDOM.normal(size=(6, 2))
    a, b = x @ x.T, y @ y.T
    terms = [
        a[i, j] * b[i, j] + a[i, j] * b[q, r] - 2 * a[i, j] * b[i, q]
        for i, j, q, r in permutations(range(6), 4)
    ]
    assert measures.hsic(a, b) == pytest.approx(np.mean(terms))


def test_cka_knows_rotations_scales_and_strangers() -> None:
    x = RANDOM.normal(size=(200, 30))
    turn, _ = np.linalg.qr(RANDOM.normal(size=(30, 30)))
    same = measures.linear_cka(measures.gram(x), measures.gram(x @ turn * 7 + 3))
    strangers = measures.linear_cka(measures.gram(x), measures.gram(RANDOM.normal(size=(200, 400))))
    assert same == pytest.approx(1, abs=1e-9)  # a shift does not count either
    assert abs(strangers) < 0.05  # the biased estimate gives more than 0.5 here
    half = measures.linear_cka(measures.gram(x), measures.gram(np.hstack([x, RANDOM.normal(size=(200, 30))])))
    assert 0.6 < half < 0.8  # the population's value is 1/sqrt(2)
    assert measures.cka_matrix([measures.gram(x)] * 3) == pytest.approx(np.ones((3, 3)))


@pytest.mark.parametrize("rank", [1, 4, 9])
def test_effective_rank_of_equal_directions_is_their_number(rank: int) -> None:
    hadamard = np.array([[1.0]])
    while len(hadamard) < 16:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    tokens = hadamard[:, 1 : rank + 1] @ np.linalg.qr(RANDOM.normal(size=(40, rank)))[0].T + 5
    assert measures.effective_rank(measures.gram(tokens)) == pytest.approx(rank)


def test_effective_rank_of_equal_tokens_is_one() -> None:
    assert measures.effective_rank(np.ones((5, 5))) == 1


def test_mean_cosine() -> None:
    assert measures.mean_cosine(np.eye(4)) == pytest.approx(0)
    assert measures.mean_cosine(np.array([[1.0, 0], [3, 0], [0, 2]])) == pytest.approx(1 / 3)


def test_bands_are_found_where_they_are() -> None:
    matrix = np.full((24, 24), 0.3)
    runs = [(0, 3), (4, 10), (11, 19), (20, 23)]
    for first, last in runs:
        matrix[first : last + 1, first : last + 1] = 0.9
    assert measures.bands(matrix, 4) == runs
    assert measures.inside(matrix, runs) == pytest.approx(0.9)
    assert measures.across(matrix, runs) == pytest.approx(0.3)
    with pytest.raises(ValueError, match="need 8 layers, got 7"):
        measures.bands(np.ones((7, 7)), 4)


# ---------------------------------------------------------------- the suite and its probes

SUITE = examples(300)


def test_the_suite_says_what_it_knows() -> None:
    assert len({example.text for example in SUITE}) == 300
    for example in SUITE:
        assert f"a {example.colour} {example.animal} {example.action}" in example.text
        assert PLACES[example.scene] in example.text
        assert WHEN[example.time] in example.text
        others = [name for name in ANIMALS if name in example.text.split() and name != example.animal]
        assert len(others) == 1
        first = example.text.index(f" {example.animal} ") < example.text.index(f" {others[0]} ")
        assert example.order == ("first" if first else "second")


def test_no_attribute_tells_another() -> None:
    from sklearn.metrics import adjusted_mutual_info_score

    many = examples(1500)
    names = ("animal", "colour", "action", "order", "scene", "time")
    values = {name: [getattr(example, name) for example in many] for name in names}
    for index, one in enumerate(names):
        for other in names[:index]:
            assert abs(adjusted_mutual_info_score(values[one], values[other])) < 0.02, (one, other)


def encoded(example: Example, names: tuple[str, ...]) -> np.ndarray:
    """One-hot codes of these attributes."""
    choices = {
        "animal": ANIMALS, "colour": COLOURS, "action": ACTIONS, "scene": tuple(PLACES), "time": tuple(WHEN),
        "order": ("first", "second"),
    }  # fmt: skip
    return np.concatenate([[float(getattr(example, n) == c) for c in choices[n]] for n in names])


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_a_planted_attribute_is_read_and_noise_is_not(probe: Probe) -> None:
    drawn = np.random.default_rng(1)
    noise = drawn.normal(size=(300, 40))
    mix = drawn.normal(size=(sum(len(encoded(SUITE[0], (name,))) for name in probe.targets), 40))
    planted = np.stack([encoded(e, probe.targets) for e in SUITE]) @ mix
    read = accuracy(planted + 0.1 * noise, SUITE, probe)
    nothing = accuracy(noise, SUITE, probe)
    assert read.mean > 0.97
    assert read.low <= read.mean <= read.high
    assert read.above_chance
    assert not nothing.above_chance
    assert nothing.low <= nothing.chance + 0.02


def test_remembering_a_combination_is_not_reading_it() -> None:
    """Tokens that name the (animal, colour) pair and nothing else tell no colour of an unseen pair."""
    relations = next(probe for probe in PROBES if probe.name == "relations")
    only = replace(relations, targets=("colour",))
    pairs = sorted({(e.animal, e.colour) for e in SUITE})
    tokens = np.eye(len(pairs))[[pairs.index((e.animal, e.colour)) for e in SUITE]]
    found = accuracy(tokens, SUITE, only)
    assert not found.above_chance
    assert found.mean < 0.25


def test_the_embedded_encoder_measured() -> None:
    found = measure(EngineSource.of(spec_of("nano", 128, 96), "cpu"), prompts=120)
    assert found.names == ("embedding", "layer 0", "layer 1", "final norm")
    assert found.cka.shape == (4, 4)
    assert np.diag(found.cka) == pytest.approx(np.ones(4))
    assert found.tokens == 240
    assert all(1 <= rank <= found.rank_bound == 192 for rank in found.rank)
    # An embedding is the word and nothing else, whatever the weights are.
    assert found.probes["the word itself"][0].mean == 1
    for name in ("sentence structure", "relations", "scene composition", "compressed meaning"):
        assert not found.probes[name][0].above_chance, name
    assert "cannot be checked here" in claim.say_probes(found)
    assert len(found.plain()["probes"]["relations"]) == 4


# ---------------------------------------------------------------- sentences


def measured(layers: int, *, order_at: range = range(24), late_rank: float = 50.0) -> Measured:
    """An encoder whose order is read best in the layers `order_at`, with the claimed bands in its CKA."""
    count = layers + 2
    cka = np.full((count, count), 0.4)
    for first, last in ((0, 3), (4, 9), (10, 19), (20, 23)):
        cka[first + 1 : last + 2, first + 1 : last + 2] = 0.95
    np.fill_diagonal(cka, 1)
    flat = tuple(Accuracy(mean=0.2, low=0.15, high=0.25, chance=0.2) for _ in range(count))
    order = tuple(
        Accuracy(mean=0.9, low=0.85, high=0.95, chance=0.5)
        if i - 1 in order_at and i
        else Accuracy(mean=0.55, low=0.5, high=0.6, chance=0.5)
        for i in range(count)
    )
    return Measured(
        names=("embedding", *(f"layer {i}" for i in range(layers)), "final norm"),
        prompts=384,
        tokens=768,
        cka=cka,
        rank=(*[100.0] * (count - 5), *[late_rank] * 5),
        rank_bound=767,
        within=tuple(Interval(mean=0.1, low=0.09, high=0.11) for _ in range(count)),
        between=(0.1,) * count,
        probes={probe.name: flat for probe in PROBES} | {"sentence structure": order},
    )


def test_the_claim_is_agreed_with_or_not_by_the_numbers() -> None:
    early, late = measured(24, order_at=range(4)), measured(24, order_at=range(12, 20))
    assert "read best in layers 0-3: the claim agrees with this probe" in claim.say_probe(
        early, "sentence structure"
    )
    assert "read best in layers 12-19: the claim does not agree with this probe" in claim.say_probe(
        late, "sentence structure"
    )
    assert "not readable in any layer" in claim.say_probe(early, "relations")
    assert "fewer, as compression would have it" in claim.say_rank(early)
    assert "not fewer: no compression" in claim.say_rank(measured(24, late_rank=150.0))
    assert "The claimed bands 0-3, 4-9, 10-19, 20-23 have 0.95 inside and 0.40 across" in claim.say_cka(early)


@pytest.mark.parametrize("layers", [1, 2, 12])
def test_an_encoder_of_another_depth_is_not_judged_by_the_claim(layers: int) -> None:
    found = measured(layers, order_at=range(1))
    for text in (
        claim.say_cka(found),
        claim.say_rank(found),
        claim.say_similarity(found),
        claim.say_probes(found),
    ):
        assert text.count(f"this encoder has {layers}, so its bands cannot be checked here") == 1
        assert "the claim agrees" not in text
        assert "nan" not in text
