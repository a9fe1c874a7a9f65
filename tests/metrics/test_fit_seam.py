"""The weights of the seam detector: fitted, written, and fitting the detector."""

import numpy as np
import pytest

from cogexp.metrics.artifacts import seam_weights
from cogexp.metrics.artifacts.evidence import Evidence
from cogexp.metrics.artifacts.seam_rows import signs, weighed
from tests.metrics import fit_seam
from tests.metrics.clips import pan
from tests.metrics.fit_seam import PAIRS, Example, example, fit, judged, written


def made(count: int, with_seam: bool, seed: int) -> list[Example]:
    """Noise, and in a seam's rows a sign that is neither small nor large."""
    rng = np.random.default_rng(seed)
    found = []
    for k in range(count):
        table = rng.normal(0, 1, (PAIRS, 3)).astype(np.float32)
        table[::9, 0] = 6.0
        place = None
        if with_seam:
            row = int(rng.integers(10, PAIRS - 10))
            place = (row - 1, row + 1)
            table[row] = (3.0, 2.5, 0.0)
        found.append(Example(table=table, source=f"{k}", place=place, blend=0 if with_seam else -1))
    return found


def test_a_network_learns_what_stands_out_and_the_middle_clean_clip_is_0(monkeypatch):
    monkeypatch.setattr(fit_seam, "STEPS", 80)
    clean, faulty = made(30, False, 0), made(30, True, 1)
    network = fit([*clean, *faulty])
    largest = judged(network, [*clean, *faulty]).max(1)
    assert np.median(largest[:30]) == pytest.approx(0.0, abs=1e-4)
    assert np.mean(largest[30:, None] > largest[None, :30]) > 0.9
    scope: dict = {}
    exec(written(network), scope)
    for name, values in network.items():
        np.testing.assert_allclose(scope[name].reshape(np.shape(values)), values, rtol=0.01, atol=1e-6)


def test_the_seams_rows_are_counted_from_its_middle():
    entry = {"type": "seam", "source": "a", "params": {"y0": 200, "blend": 40}}
    found = example(np.zeros((144, 3), np.float32), entry, 288)
    assert found.place == (100 - 8 - 6, 100 - 8 + 6)
    assert example(np.zeros((144, 3), np.float32), {"type": "clean", "source": "a"}, 288).place is None


def test_the_shipped_weights_have_an_input_for_each_sign():
    table, sharp = signs(Evidence(frames=pan(2, 4)))
    assert table.shape == (144, len(seam_weights.MEAN)) == (144, len(seam_weights.HIDDEN))
    assert sharp.shape == (288,)
    assert weighed(table).shape == (144,)
