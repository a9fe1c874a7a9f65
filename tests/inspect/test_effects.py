"""Where words lie in the embedded model's pictures: on red wolves in white snow, found by their colour."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from cogexp.build import build
from cogexp.inspect.effects import word_effects
from cogexp.inspect.seen import Activations
from cogexp.inspect.sources import EngineSource
from cogexp.inspect.watched import observe
from cogexp.nano.weights import trained

PROMPT = "two red wolves running through a snowy forest, a Disney-like sense of space"
STEPS = 8
MIDDLE = (2, 3, 4, 5)


@pytest.fixture(scope="module")
def found() -> Activations:
    if not trained():
        pytest.skip("random weights know no wolves")
    spec = build(
        {
            "model": {"name": "nano"},
            "prompt": {"text": PROMPT},
            "resolution": {"width": 256, "height": 144},
            "sampler": {"steps": STEPS},
        }
    ).spec
    return observe(EngineSource.of(spec, "cpu"), steps=MIDDLE, effects=True)


def animals(found: Activations) -> np.ndarray:
    """(f, h, w) bool: patches of which a good third is red in the frames that they stand for."""
    red, green, blue = np.moveaxis(found.frames.astype(float), -1, 0)
    pixels = (red - green > 45) & (red - blue > 45)  # the yellow sun is no more red than green
    frames, rows, columns = found.passes.grid
    share = pixels.reshape(len(pixels), rows, 16, columns, 16).mean((2, 4))
    moments = [share[:1], *(share[4 * k - 3 : 4 * k + 1] for k in range(1, frames))]
    return np.stack([moment.mean(0) for moment in moments]) > 0.35


def density(heat: np.ndarray, inside: np.ndarray) -> float:
    """The share of the map's mass on the animals, by their share of the area."""
    return float(heat[inside].mean() / heat.mean())


def test_wolves_are_read_on_the_wolves_and_the_forest_around_them(found: Activations) -> None:
    inside = animals(found)
    assert 0.05 < inside.mean() < 0.25
    read = np.mean([found.readings(step, block) for step in MIDDLE for block in found.blocks], axis=0)
    assert read.sum(0) == pytest.approx(1, abs=1e-4)
    area = {
        word: roc_auc_score(inside.ravel(), heat.ravel())
        for word, heat in zip(found.columns, read, strict=False)
    }
    print({word: round(float(value), 2) for word, value in area.items()})
    assert min(area["two"], area["red"], area["wolf"], area["running"]) > 0.8
    assert max(area["snowy"], area["forest"]) < 0.4


def test_leaving_out_what_is_said_of_the_animals_changes_the_animals(found: Activations) -> None:
    assert found.effects is not None
    assert found.effect_step == MIDDLE[2]
    inside = animals(found)
    on = dict(zip(found.columns, (density(heat, inside) for heat in found.effects), strict=False))
    said, elsewhere = min(on["two"], on["red"], on["wolf"]), max(on["snowy"], on["forest"])
    assert said > 1.8
    assert said > 1.4 * elsewhere


def test_effects_are_root_mean_squares_of_a_patch() -> None:
    """A transformer that writes the text's first number into one patch of two channels."""

    def transformer(*, encoder_hidden_states: torch.Tensor, **_: object) -> tuple[torch.Tensor]:
        out = torch.zeros(1, 2, 2, 4, 6)
        out[0, 1, 0, 2:, 4:] = encoder_hidden_states[0, 0, 0]
        return (out,)

    inputs = {"encoder_hidden_states": torch.full((1, 3, 4), 5.0)}
    effects = word_effects(
        transformer, inputs, [torch.full((1, 3, 4), value) for value in (5.0, 2.0)], (2, 2, 3)
    )
    assert effects.shape == (2, 2, 2, 3)
    assert effects[1, 1, 1, 2] == pytest.approx(3 / 2**0.5)
    assert effects.sum() == pytest.approx(3 / 2**0.5)
