"""The training command from end to end at tiny sizes, shipping, and what loads afterwards."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cogexp.nano import clip, judge, weights
from cogexp.nano.train import _parser, main, plan_of
from cogexp.nano.training import adherence, card, checkpoint
from cogexp.nano.training.ship import ship
from cogexp.nano.world import Scene, caption, render


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nano")
    assert main(["all", "--plan", "tiny", "--folder", str(folder), "--workers", "0", "--device", "cpu"]) == 0
    assert main(["ship", "--folder", str(folder), "--to", str(folder / "shipped")]) == 0
    return folder


def test_shipped_weights_make_a_clip(trained):
    shipped = trained / "shipped"
    assert weights.trained(shipped)
    loaded = weights.components(folder=shipped)
    scale = json.loads((trained / "vae" / "scaling.json").read_text("utf-8"))["scaling_factor"]
    assert loaded["vae"].config.scaling_factor == scale > 0
    modules = {name: loaded[name] for name in weights.PARTS}
    clips = adherence.generate(
        modules, ["two wolves"], width=64, height=64, steps=2, guidance=3.0, device=torch.device("cpu")
    )
    assert clips[0].shape == (9, 64, 64, 3)


def test_the_weak_model_is_small_and_another(trained):
    shipped = trained / "shipped"
    assert weights.undertrained_file(shipped).stat().st_size < 6e6
    weak = weights.components(["transformer"], shipped, kind="undertrained")["transformer"]
    strong = weights.components(["transformer"], shipped)["transformer"]
    assert not torch.equal(weak.proj_out.weight, strong.proj_out.weight)
    assert weights.fingerprint(shipped) != weights.fingerprint(shipped, "undertrained")


def test_the_whole_is_small_enough(trained):
    assert sum(path.stat().st_size for path in (trained / "shipped").iterdir()) <= 30e6


def test_the_card_says_what_is_short(trained):
    text = (trained / "shipped" / "README.md").read_text("utf-8")
    assert "| VAE: PSNR (dB), held-out 512x288x9 clips |" in text
    assert "| 27 | short |" in text
    assert "| Generated: place | not measured | 0.9 | |" in text
    assert "| VAE | entropy 0, plan tiny | 4 |" in text
    assert "not trained yet" not in text
    assert card.figures(trained / "shipped")["psnr_db"] > 0


def test_parts_are_shipped_one_by_one(trained, tmp_path):
    """A trained VAE goes into the package before there is a denoiser; the card and the notice say so."""
    some = tmp_path / "training"
    shutil.copytree(trained / "vae", some / "vae")
    ship(some, tmp_path / "shipped")
    assert [path.name for path in (tmp_path / "shipped").glob("*.safetensors")] == ["vae.safetensors"]
    text = (tmp_path / "shipped" / "README.md").read_text("utf-8")
    assert "| denoiser and text encoder | not trained yet | 0 | 0 | |" in text
    assert "`python -m cogexp.nano.train dit --from shipped`" in text
    assert weights.trained_parts(tmp_path / "shipped") == ("vae",)
    assert "vae is trained" in weights.notice(tmp_path / "shipped")
    # The next part joins what is there.
    other = tmp_path / "other"
    shutil.copytree(trained / "clip", other / "clip")
    ship(other, tmp_path / "shipped")
    assert {"psnr_db", "r1_image"} <= set(card.figures(tmp_path / "shipped"))


def test_another_vae_is_not_shipped_under_a_denoiser(trained, tmp_path):
    shutil.copytree(trained / "shipped", tmp_path / "shipped")
    shutil.copytree(trained / "vae", tmp_path / "training" / "vae")
    ship(tmp_path / "training", tmp_path / "shipped")
    average = checkpoint.load_average(tmp_path / "training" / "vae")
    save_file({k: v + 0.1 for k, v in average.items()}, tmp_path / "training" / "vae" / "average.safetensors")
    with pytest.raises(ValueError, match="trained on another VAE"):
        ship(tmp_path / "training", tmp_path / "shipped")


def test_training_begins_from_shipped_weights(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(weights, "FOLDER", trained / "shipped")
    common = ["--plan", "tiny", "--workers", "0", "--device", "cpu", "--folder", str(tmp_path)]
    assert main(["dit", *common, "--from", "shipped", "--steps", "dit=2"]) == 0
    assert "begin with the package's weights: vae, clip, judge, dit" in capsys.readouterr().err
    ours, theirs = (checkpoint.load_average(folder / "vae") for folder in (tmp_path, trained))
    assert all(torch.equal(ours[name], theirs[name].half().float()) for name in theirs)
    assert main(["vae", *common, "--steps", "vae=3"]) == 0
    progress = checkpoint.load_progress(tmp_path / "vae")
    assert (progress.first_step, progress.step) == (4, 3)
    ship(tmp_path, tmp_path / "again")
    text = (tmp_path / "again" / "README.md").read_text("utf-8")
    assert "| VAE | all pieces | 7 |" in text
    assert "| denoiser and text encoder | all pieces | 6 |" in text


def test_measuring_notes_figures_of_the_average(trained, tmp_path, capsys):
    shutil.copytree(trained / "vae", tmp_path / "vae")
    assert main(["measure", "--plan", "tiny", "--folder", str(tmp_path), "--device", "cpu"]) == 0
    printed = json.loads(capsys.readouterr().out)
    before, after = (checkpoint.load_progress(folder / "vae") for folder in (trained, tmp_path))
    assert len(after.history) == len(before.history) + 1
    assert printed["psnr_db"] == pytest.approx(before.last("psnr_db"), abs=1e-3)


def test_clip_and_judge_load_and_answer(trained):
    model = clip.load_clip(trained / "shipped")
    frames = render(Scene(), width=128, height=72, frames=3)
    images, texts = clip.image_features(model, frames), clip.text_features(model, ["a wolf", "two foxes"])
    assert images.shape == (3, 128)
    assert texts.shape == (2, 128)
    torch.testing.assert_close(images.norm(dim=1), torch.ones(3))
    reading = judge.read_clip(judge.load_judge(trained / "shipped" / "judge.safetensors"), frames)
    assert Scene(**{**reading, "action": "walking"})


def test_finished_training_does_nothing_more(trained, capsys):
    assert (
        main(["clip", "--plan", "tiny", "--folder", str(trained), "--workers", "0", "--device", "cpu"]) == 0
    )
    printed = json.loads(capsys.readouterr().out)
    assert printed["done"]
    assert printed["step"] == 4


def test_compact_copies_begin_another_training(trained, tmp_path):
    compact = tmp_path / "compact"
    common = ["--plan", "tiny", "--workers", "0", "--device", "cpu"]
    assert main(["clip", *common, "--folder", str(trained), "--compact", str(compact)]) == 0
    there = tmp_path / "there"
    there.mkdir()
    more = ["--steps", "clip=5", "--resume-from", str(compact)]
    assert main(["clip", *common, "--folder", str(there), *more]) == 0
    assert json.loads((there / "clip" / "progress.json").read_text("utf-8"))["step"] == 5


def test_adherence_of_a_perfect_reader_is_one(monkeypatch):
    scenes = adherence.held_out_scenes(4)
    clips = [np.full((9, 8, 8, 3), i, np.uint8) for i in range(4)]
    read = lambda _, clip: dict(vars(scenes[int(clip[0, 0, 0, 0])]))  # noqa: E731
    monkeypatch.setattr(judge, "read_clip", read)
    assert set(judge.adherence(None, clips, scenes).values()) == {1.0}
    wrong = judge.adherence(None, clips[::-1], scenes)
    assert wrong["all"] < 1.0
    assert all(scene.held_out for scene in scenes)


def test_auc_known_answers(monkeypatch):
    eye = torch.eye(3)
    monkeypatch.setattr(adherence, "image_features", lambda model, clip: eye[clip : clip + 1])
    monkeypatch.setattr(adherence, "text_features", lambda model, texts: eye)
    assert adherence.clip_auc(None, [0, 1, 2], ["", "", ""]) == 1.0
    monkeypatch.setattr(adherence, "text_features", lambda model, texts: torch.ones(3, 3))
    assert adherence.clip_auc(None, [0, 1, 2], ["", "", ""]) == 0.5


def test_moments_of_a_clip():
    assert judge.moments(9) == (0, 4, 8)
    assert judge.moments(49) == (0, 24, 48)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vae", "--budget", "cat=3"], "--budget must be PART=NUMBER"),
        (["dit", "--steps", "dit=many"], "--steps must be PART=NUMBER"),
        (["dit", "--plan", "tiny"], "train this part first"),
    ],
)
def test_wrong_requests_are_refused(arguments, message, tmp_path, capsys):
    assert main([*arguments, "--folder", str(tmp_path), "--workers", "0", "--device", "cpu"]) == 2
    assert message in capsys.readouterr().err


def test_steps_and_budget_replace_the_plans_end():
    plan = plan_of(_parser().parse_args(["vae", "--plan", "cpu", "--steps", "vae=7"]), torch.device("cpu"))
    assert (plan.vae.steps, plan.vae.minutes) == (7, None)
    words = ["all", "--plan", "cpu", "--budget", "vae=2.5", "--steps", "vae=7"]
    assert plan_of(_parser().parse_args(words), torch.device("cpu")).vae.minutes == 2.5


def test_scoring_without_weights_is_refused(tmp_path):
    assert not clip.available(tmp_path)
    with pytest.raises(FileNotFoundError, match="nano CLIP is not trained"):
        clip.load_clip(tmp_path)
    with pytest.raises(FileNotFoundError, match="not shipped; use"):
        weights.components(["vae"], tmp_path, kind="undertrained")


def test_captions_of_held_out_scenes_differ():
    assert len({caption(scene) for scene in adherence.held_out_scenes(96)}) > 90
