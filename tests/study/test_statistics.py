"""Intervals, p-values, Holm, variance components and power against scipy and closed cases."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cogexp.study.power import MOST, needed_seeds, needed_units
from cogexp.study.statistics import (
    bootstrap_weights,
    compare,
    components,
    estimate,
    holm,
    p_value,
    unit_means,
)


def drawn(values: np.ndarray, draws: int = 8_000) -> np.ndarray:
    weights = bootstrap_weights(np.ones(len(values), dtype=int), draws, np.random.default_rng(0))
    return np.sort(weights @ values)


def test_interval_is_students_on_gaussian_data() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, 30)
    found = estimate(values, drawn(values))
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    width = expected.high - expected.low
    assert found.mean == pytest.approx(values.mean())
    # Never narrower than Student's, and hardly wider.
    assert expected.low - 0.06 * width <= found.low <= expected.low + 1e-9
    assert expected.high - 1e-9 <= found.high <= expected.high + 0.06 * width


def test_interval_agrees_with_scipys_bootstrap_on_many_values() -> None:
    values = np.random.default_rng(2).gamma(2.0, 1.0, 200)  # skewed
    found = estimate(values, drawn(values))
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=5_000, method="percentile", rng=np.random.default_rng(3)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert found.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.05 * width)


def test_p_value_is_close_to_the_paired_t_test() -> None:
    rng = np.random.default_rng(4)
    for gain in (0.0, 0.3, 0.6, -0.6):
        gap = rng.normal(gain, 1.0, 25)
        theirs = stats.ttest_1samp(gap, 0.0).pvalue
        assert theirs * 0.999 <= p_value(gap, drawn(gap)) <= theirs * 1.6 + 0.02


@pytest.mark.parametrize("units", [4, 8, 20])
def test_intervals_cover_the_truth(units: int) -> None:
    """600 cluster designs with a strong effect of the prompt: 95 % or more, and not useless."""
    rng, covered = np.random.default_rng(units), 0
    counts = np.full(units, 3)
    for _ in range(600):
        values = (rng.normal(0, 1, (units, 1)) + rng.normal(0, 1, (units, 3))).reshape(-1)
        weights = bootstrap_weights(counts, 800, rng)
        found = estimate(unit_means(values[None], counts)[0], np.sort(weights @ values))
        covered += found.low <= 0.0 <= found.high
    assert stats.binom.ppf(0.001, 600, 0.95) <= covered
    assert covered <= 596


def test_weights_are_means_of_means() -> None:
    counts = np.array([1, 2, 5])
    weights = bootstrap_weights(counts, 5000, np.random.default_rng(0))
    assert weights.shape == (5000, 8)
    np.testing.assert_allclose(weights.sum(1), 1.0)
    # Every prompt counts the same however many seeds it has.
    by_prompt = np.add.reduceat(weights.mean(0), [0, 1, 3])
    np.testing.assert_allclose(by_prompt, 1 / 3, atol=0.02)


def test_seeds_of_one_prompt_are_not_independent_evidence() -> None:
    """Ten copies of each prompt's seed say no more than one of them."""
    rng = np.random.default_rng(7)
    once = rng.normal(0.8, 1.0, (2, 6)) * np.array([[0.0], [1.0]])
    single = compare(once, list(range(6)))
    copied = compare(np.repeat(once, 10, axis=1), np.repeat(np.arange(6), 10).tolist())
    assert copied.confidence == pytest.approx(single.confidence, abs=0.02)
    assert copied.units == single.units == 6


def test_two_prompts_that_agree_by_luck_decide_nothing() -> None:
    """Their means differ by almost nothing while their seeds scatter: no sign that chance is small."""
    gap = np.array([0.0, 2.0, -1.0, 3.0001])
    assert not compare(np.stack([np.zeros(4), gap]), [0, 0, 1, 1]).decisive
    assert stats.ttest_1samp([1.0, 1.00005], 0.0).pvalue < 0.001  # what the means alone would claim


def test_pairing_removes_what_prompts_and_seeds_share() -> None:
    rng = np.random.default_rng(8)
    shared = rng.normal(0, 50, 12)
    values = np.stack([shared, shared + 1.0 + rng.normal(0, 0.1, 12)])
    found = compare(values, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
    assert found.decisive
    assert found.leader == 1
    assert found.rivals[0].difference.mean == pytest.approx(1.0, abs=0.1)


def test_equal_values_are_not_decided_and_constant_gaps_are() -> None:
    same = compare(np.ones((3, 6)), [0, 0, 1, 1, 2, 2])
    assert not same.decisive
    assert same.confidence == 0.0
    apart = compare(np.array([[1.0] * 6, [2.0] * 6]), [0, 0, 1, 1, 2, 2])
    assert apart.decisive
    assert apart.leader == 1


def test_one_cell_and_one_setting_say_nothing() -> None:
    assert not compare(np.array([[1.0], [2.0]]), [0]).decisive
    alone = compare(np.array([[1.0, 2.0, 3.0]]), [0, 1, 2])
    assert not alone.decisive
    assert alone.confidence == 0.0


def test_columns_may_come_in_any_order() -> None:
    rng = np.random.default_rng(9)
    values, labels = rng.normal(size=(3, 12)), np.repeat(np.arange(4), 3)
    mixed = rng.permutation(12)
    a, b = compare(values, labels.tolist()), compare(values[:, mixed], labels[mixed].tolist())
    assert a.leader == b.leader
    assert a.rivals[0].difference.mean == pytest.approx(b.rivals[0].difference.mean)


def test_holm_against_the_published_rule() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []
    from itertools import permutations

    for order in permutations([0.001, 0.02, 0.02, 0.4]):
        assert dict(zip(order, holm(list(order)), strict=True)) == pytest.approx(
            {0.001: 0.004, 0.02: 0.06, 0.4: 0.4}
        )


def test_components_of_a_large_simulated_design() -> None:
    rng = np.random.default_rng(10)
    gap = (rng.normal(0, 2.0, (4000, 1)) + rng.normal(0, 3.0, (4000, 4))).reshape(-1)
    between, within = components(gap, np.full(4000, 4))
    assert between == pytest.approx(4.0, rel=0.1)
    assert within == pytest.approx(9.0, rel=0.05)


def test_needed_units_reach_the_power_that_they_promise() -> None:
    """Simulated t tests at the returned size: 80 % within a few points."""
    for difference, deviation in ((1.0, 1.0), (0.5, 1.5)):
        units = needed_units(difference, 0.0, deviation**2, 1, 0.05)
        assert units is not None
        data = np.random.default_rng(11).normal(difference, deviation, (4000, units))
        power = (stats.ttest_1samp(data, 0.0, axis=1).pvalue < 0.05).mean()
        assert power == pytest.approx(0.8, abs=0.05)


def test_needs_in_closed_cases() -> None:
    assert needed_units(0.0, 1.0, 1.0, 2, 0.05) is None
    assert needed_units(1e-6, 1.0, 1.0, 2, 0.05) is None
    assert needed_units(1.0, 0.0, 0.0, 2, 0.05) == 2
    assert MOST == 1000
    # More seeds cannot help where prompts disagree, and help where only noise is in the way.
    assert needed_seeds(0.5, 10.0, 1.0, 5, 0.05) is None
    few, many = needed_seeds(2.0, 0.0, 4.0, 5, 0.05), needed_seeds(1.0, 0.0, 4.0, 5, 0.05)
    assert few is not None
    assert many is not None
    assert few < many
