"""What a study must find on the embedded model: more steps, some guidance and the native size are better.

The same held-out prompts and noises at every setting, scored by the nano CLIP.
"""

from __future__ import annotations

from statistics import mean
from typing import Any

import pytest
import torch

from cogexp.nano import weights
from cogexp.nano.clip import image_features, load_clip, text_features
from cogexp.nano.judge import adherence, load_judge
from cogexp.nano.training.adherence import generate, held_out_scenes
from cogexp.nano.training.lean import lean
from cogexp.nano.world import caption

HALF, NATIVE, FAR_OFF = (256, 144), (512, 288), (96, 64)
SCENES = held_out_scenes(8, seed=5)


class Study:
    """clip_score (0..100) of each prompt at a setting, computed once; the clips of the last one."""

    def __init__(self, kind: str = "pretrained") -> None:
        self.modules: dict[str, Any] = weights.components(("vae", "transformer", "text_encoder"), kind=kind)
        lean(self.modules["vae"])
        self.clip = load_clip()
        self.known: dict[tuple[Any, ...], list[float]] = {}
        self.clips: list[Any] = []

    def scores(self, size: tuple[int, int], steps: int, guidance: float, prompts: int = 8) -> list[float]:
        key = (size, steps, guidance, prompts)
        if key not in self.known:
            texts = [caption(scene) for scene in SCENES[:prompts]]
            self.clips = generate(
                self.modules, texts, width=size[0], height=size[1], steps=steps, guidance=guidance,
                device=torch.device("cpu"), batch=prompts if size != NATIVE else 1,
            )  # fmt: skip
            self.known[key] = [
                100 * float((image_features(self.clip, clip) @ text_features(self.clip, [text]).T).mean())
                for clip, text in zip(self.clips, texts, strict=True)
            ]
        return self.known[key]


@pytest.fixture(scope="module")
def study() -> Study:
    return Study()


def test_more_steps_are_better(study: Study) -> None:
    assert mean(study.scores(HALF, 8, 2.0)) > mean(study.scores(HALF, 2, 2.0)) + 1.0


def test_guidance_has_a_best(study: Study) -> None:
    best, none, much = (mean(study.scores(HALF, 8, guidance)) for guidance in (2.0, 1.0, 6.0))
    assert best > none + 0.3
    assert best > much + 3.0


def test_the_native_size_is_better_than_others(study: Study) -> None:
    native, half = study.scores(NATIVE, 8, 2.0, 2), study.scores(HALF, 8, 2.0)[:2]
    assert mean(native) > mean(half)
    assert mean(half) > mean(study.scores(FAR_OFF, 8, 2.0)) + 15


def test_clips_show_what_was_asked_and_the_weak_model_does_not() -> None:
    study, judge = Study(), load_judge()
    strong = mean(study.scores(HALF, 6, 2.0, 4))
    shown = adherence(judge, study.clips, SCENES[:4])
    assert min(shown[name] for name in ("place", "time", "animal", "colour", "count")) >= 0.75
    assert strong > mean(Study("undertrained").scores(HALF, 6, 2.0, 4)) + 10
