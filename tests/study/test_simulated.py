"""Studies with known truth: the best is found where it is, and nothing is claimed where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cogexp.study import Query, pick, study_of
from cogexp.study.statistics import Comparison, compare
from tests.study.records import SIZES, records_of, simulate

# (settings, prompts, seeds, a prompt's taste for a setting, noise, gain of the best where there is one)
DESIGNS = [
    (2, 8, 3, 0.5, 1.0, 2.0),
    (3, 6, 3, 0.0, 1.0, 2.0),
    (4, 8, 2, 0.5, 1.0, 2.5),
    (6, 10, 3, 1.0, 1.0, 3.0),
]


def studies(count: int, *, decisive: bool, seed: int) -> list[tuple[int, Comparison]]:
    """(the true best, what was found) of `count` studies, the designs in turn."""
    rng, found = np.random.default_rng(seed), []
    for index in range(count):
        k, prompts, seeds, taste, noise, gain = DESIGNS[index % len(DESIGNS)]
        best = int(rng.integers(k))
        gains = [gain * (i == best and decisive) for i in range(k)]
        values = simulate(rng, gains, prompts=prompts, seeds=seeds, taste=taste, noise=noise)
        labels = np.repeat(np.arange(prompts), seeds).tolist()
        found.append((best, compare(values.reshape(k, -1), labels)))
    return found


def at_most(count: int, rate: float, confidence: float = 0.999) -> int:
    """The largest number of events in `count` trials that a true `rate` still explains."""
    return int(stats.binom.ppf(confidence, count, rate))


def test_200_decisive_studies_name_the_true_best() -> None:
    found = studies(200, decisive=True, seed=3)
    right = sum(c.decisive and c.leader == best for best, c in found)
    print(f"decisive studies: the true best is recommended in {right} of 200")
    assert right >= 190


def test_200_null_studies_claim_nothing() -> None:
    claimed = sum(c.decisive for _, c in studies(200, decisive=False, seed=4))
    print(f"null studies: a decision is claimed in {claimed} of 200")
    assert claimed <= 10


@pytest.mark.slow
@pytest.mark.parametrize("taste", [0.0, 0.5, 2.0])
@pytest.mark.parametrize(("prompts", "seeds"), [(3, 3), (5, 2), (8, 4)])
def test_two_tied_leaders_are_the_hardest_null(prompts: int, seeds: int, taste: float) -> None:
    """All others far behind: nothing but the level itself protects from a false claim."""
    rng, claimed = np.random.default_rng(5), 0
    labels = np.repeat(np.arange(prompts), seeds).tolist()
    for _ in range(400):
        values = simulate(rng, [50.0, 50.0, 0.0], prompts=prompts, seeds=seeds, taste=taste, noise=1.0)
        claimed += compare(values.reshape(3, -1), labels, draws=2000).decisive
    assert claimed <= at_most(400, 0.05), f"{claimed} of 400"


def test_whole_picks_of_simulated_records() -> None:
    """The same through records, rows and query: four decisive and four null studies."""
    rng = np.random.default_rng(6)
    for best in range(4):
        gains = [4.0 * (i == best) for i in range(4)]
        found = records_of(simulate(rng, gains, prompts=6, seeds=2, taste=0.3, noise=0.7))
        choice = pick(study_of(found), Query(objective="clip_score"))
        assert choice.recommended == {"resolution": SIZES[best]}
        assert choice.decisive
        assert choice.confidence >= 0.95
    for _ in range(4):
        found = records_of(simulate(rng, [0.0] * 4, prompts=6, seeds=2, taste=0.3, noise=0.7))
        choice = pick(study_of(found), Query(objective="clip_score"))
        assert not choice.decisive
        assert choice.confidence < 0.95
        assert "do not decide" in choice.sentence
