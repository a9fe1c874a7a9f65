"""Names, presets, skipping, and what importing costs."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from cogexp.metrics import METRIC_NAMES, METRICS, PRESETS, measure, resolve_names
from cogexp.metrics.score import Context, Score
from cogexp.spec import SpecError
from tests.metrics.clips import pan


@pytest.fixture
def no_weights(tmp_path, monkeypatch):
    """A machine without any checkpoint, whatever this one holds."""
    import huggingface_hub

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)


def test_the_registry_is_what_the_names_say():
    assert tuple(METRICS) == METRIC_NAMES
    assert all(METRICS[name].name == name for name in METRICS)
    assert PRESETS["none"] == ()
    assert not any(METRICS[name].networks for name in PRESETS["fast"])


def test_an_unknown_name_lists_the_choices_and_the_nearest():
    with pytest.raises(SpecError, match=r"'cilp_score'; nearest: clip_score") as error:
        resolve_names(["cilp_score"])
    assert all(name in str(error.value) for name in METRIC_NAMES)
    with pytest.raises(SpecError):
        measure(pan(0, frames=1), 8, None, ["nonsense"])


def test_presets_and_names_mix_and_each_comes_once():
    assert resolve_names("fast") == PRESETS["fast"]
    assert resolve_names(["motion_px", "fast"])[0] == "motion_px"
    assert len(set(resolve_names(["fast", "default"]))) == len(resolve_names(["fast", "default"]))


def test_missing_weights_skip_with_reason_and_remedy(no_weights):
    found = measure(pan(1, frames=3), 8, "two wolves", "default", clip_model="nobody/nothing")
    for name in ("clip_score", "clip_consistency", "lpips_adjacent"):
        assert found.scores[name] is None
        assert "not on this machine" in found.skipped[name]
        assert "python -m cogexp fetch metrics=default" in found.skipped[name]
    assert found.scores["warp_error"] is not None
    assert "nobody/nothing" in found.skipped["clip_score"]


def test_every_value_is_finite_or_none_and_json_takes_it(no_weights):
    for frames in (
        pan(1, frames=2),
        np.zeros((3, 64, 96, 3), np.uint8),
        np.full((1, 33, 47, 3), 255, np.uint8),
    ):
        found = measure(frames, 8, "x", "all", clip_model="nobody/nothing")
        json.dumps([found.scores, found.per_frame, found.artifacts], allow_nan=False)
        assert set(found.scores) == set(METRIC_NAMES)


def test_a_metric_that_is_not_finite_is_skipped(monkeypatch):
    from cogexp.metrics import measurement

    broken = lambda clip, context: Score(value=math.nan)  # noqa: E731
    monkeypatch.setitem(measurement.METRICS, "motion_px", broken)
    found = measure(pan(1, frames=2), 8, None, ["motion_px"])
    assert found.scores["motion_px"] is None
    assert "finite" in found.skipped["motion_px"]


def test_progress_names_each_metric():
    seen = []
    measure(pan(0, frames=2), 8, None, ["fast"], progress=lambda *args: seen.append(args))
    assert [name for name, _, _ in seen] == list(PRESETS["fast"])
    assert [done for _, done, _ in seen] == list(range(len(seen)))


def test_artifacts_are_only_looked_for_when_asked():
    assert measure(pan(0, frames=2), 8, None, ["motion_px"]).artifacts == {}
    found = measure(pan(0, frames=2), 8, None, ["tear"])
    assert set(found.artifacts) >= {"level", "kind", "score", "rows", "frames", "detectors"}
    assert found.scores["tear"] == found.artifacts["score"]


def test_an_unknown_network_kind_is_refused():
    context = Context(clip=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="clip, lpips, dino"):
        context.network("vae", "x")


def test_importing_costs_neither_torch_nor_numpy():
    code = (
        "import sys, cogexp.metrics, cogexp.metrics.names, cogexp.metrics.fetch\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
        "import cogexp.metrics.measurement\n"
        "assert not {'torch', 'transformers', 'lpips', 'torchmetrics'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
