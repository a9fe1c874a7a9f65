"""What can be read from a layer's tokens by a linear map: attributes of prompts, on unseen combinations.

One probe for each claim about what layers do. All but the first read from tokens that do not name the
attribute, so that the embedding knows nothing of it (chance): what is above chance the layers brought there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cogexp.inspect.suite import Example

FOLDS = 5
ALPHAS = tuple(10.0**power for power in range(-1, 6))
RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What is read (`targets`, averaged), from which token, and which combination a fold holds out whole."""

    name: str
    about: str
    token: str  # "animal" or "end"
    targets: tuple[str, ...]
    held_out: Callable[[Example], str]


PROBES = (
    Probe(
        name="the word itself",
        about="which animal, from the animal's own token",
        token="animal",
        targets=("animal",),
        held_out=lambda e: f"{e.animal} {e.colour}",
    ),
    Probe(
        name="sentence structure",
        about="first or second animal of the sentence, from the animal's token",
        token="animal",
        targets=("order",),
        held_out=lambda e: f"{e.animal} {e.action}",
    ),
    Probe(
        name="relations",
        about="the animal's own colour and action (another animal has others), from the animal's token",
        token="animal",
        targets=("colour", "action"),
        held_out=lambda e: f"{e.animal} {e.colour}",
    ),
    Probe(
        name="scene composition",
        about="place and time of the scene, from the animal's token",
        token="animal",
        targets=("scene", "time"),
        held_out=lambda e: f"{e.animal} {e.scene}",
    ),
    Probe(
        name="compressed meaning",
        about="animal, colour, action, place and time, from the last token of the text alone",
        token="end",
        targets=("animal", "colour", "action", "scene", "time"),
        held_out=lambda e: f"{e.animal} {e.colour}",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Share of held-out prompts read right, with a 95 % interval; `chance`: always the commonest answer."""

    mean: float
    low: float
    high: float
    chance: float

    @property
    def above_chance(self) -> bool:
        """The whole interval lies above chance."""
        return self.low > self.chance


def accuracy(tokens: np.ndarray, suite: Sequence[Example], probe: Probe) -> Accuracy:
    """Fit `probe` on `tokens` (n, d), one for each example of `suite`, by ridge regression on the classes.

    Five folds; a fold's combinations occur in no other fold. The interval comes from drawing combinations
    again (bootstrap): prompts of one combination are alike.
    """
    groups = np.array([probe.held_out(example) for example in suite])
    hits, guesses = [], []
    for target in probe.targets:
        answers = np.array([getattr(example, target) for example in suite])
        hits.append(_predicted(tokens.astype(np.float64), answers, groups) == answers)
        guesses.append(np.unique(answers, return_counts=True)[1].max() / len(answers))
    right = np.mean(hits, axis=0)
    low, high = _interval(right, groups)
    return Accuracy(mean=float(right.mean()), low=low, high=high, chance=float(np.mean(guesses)))


def _predicted(tokens: np.ndarray, answers: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Answers for every example from the folds that do not hold it."""
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = list(GroupKFold(FOLDS, shuffle=True, random_state=0).split(tokens, answers, groups))
    model = make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=ALPHAS))
    predicted: np.ndarray = cross_val_predict(model, tokens, answers, cv=folds)
    return predicted


def _interval(right: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """2.5 and 97.5 % of the mean over groups drawn with replacement."""
    names = np.unique(groups)
    sums = np.array([right[groups == name].sum() for name in names])
    sizes = np.array([(groups == name).sum() for name in names])
    drawn = np.random.default_rng(0).integers(len(names), size=(RESAMPLES, len(names)))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))
