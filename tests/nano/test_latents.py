"""Kept latents: encoded once, found again, cut to windows that know where they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cogexp.nano import arch
from cogexp.nano.training import latents
from cogexp.nano.training.dit import DitTask, rotary, window_rotary
from cogexp.nano.training.keeper import Keeper, Maker, keeper
from cogexp.nano.training.orders import Order, render_order
from cogexp.nano.training.plans import PLANS, Look
from cogexp.nano.training.ranks import World
from cogexp.nano.training.renderer import Renderer
from cogexp.nano.world import Stage

CPU = torch.device("cpu")
SIZE = (96, 64)


def _encode(clips):
    """Stands for a VAE: the mean brightness of every 8x8 pixels, in 16 channels."""
    small = torch.from_numpy(clips[:, [0, 1, 5]]).float().mean(-1) / 255
    return torch.nn.functional.avg_pool2d(small, 8)[:, :, None].repeat(1, 1, 16, 1, 1)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    assert list(latents.fill(folder, SIZE, 20, entropy=0.0, seed=3, encode=_encode)) == [16, 32]
    return folder


@pytest.mark.parametrize("seed", range(4))
def test_animals_are_found_where_they_are(seed):
    order = Order(seed=seed, clips=1, width=256, height=144, entropy=0.0, frames=(0,), animals=True)
    batch = render_order(order)
    stage = Stage(batch.scenes[0], 256, 144, 9, 0, 0.0)
    with_them, without = (stage.frame(0, with_animals=there).astype(int) for there in (True, False))
    differs = np.abs(with_them - without).max(axis=2) > 10
    covered = stage.cover(0) > 10
    assert (differs & covered).sum() > 0.85 * (differs | covered).sum()
    # Of each latent: the share of its 8x8 pixels.
    share = differs.reshape(18, 8, 32, 8).mean(axis=(1, 3))
    there = batch.animals[0, 0] / 255
    assert batch.animals.shape == (1, 3, 18, 32)
    assert np.abs(share - there).mean() < 0.05, "shadows cover less than animals"
    assert np.median(there[share > 0.9]) > 0.8
    assert there[:4].max() == 0, "nobody is in the sky's upper fifth"


def test_what_is_there_is_not_made_again(kept):
    def refuse(clips):
        raise AssertionError("encoded a second time")

    assert list(latents.fill(kept, SIZE, 32, entropy=0.0, seed=3, encode=refuse)) == [16, 32]
    found = latents.load(sorted((kept / "96x64").iterdir()))
    assert found.latents.shape == (32, 3, 16, 8, 12)
    assert found.animals.shape == (32, 3, 8, 12)
    assert len(found.scenes) == 32
    assert not any(scene.held_out for scene in found.scenes)
    assert latents.load([]) is None


def test_processes_share_the_files(tmp_path):
    for rank in (0, 1):
        list(latents.fill(tmp_path, SIZE, 33, world=World(rank, 2), entropy=0.0, seed=3, encode=_encode))
    assert len(list((tmp_path / "96x64").glob("*.safetensors"))) == 3


def test_windows_are_pieces_of_the_whole(kept):
    source = Keeper(kept)
    order = Order(seed=5, clips=6, width=96, height=64, crop=(4, 6), cuts=2, moments=1)
    batch = next(source.batches([order]))
    whole = next(source.batches([replace(order, crop=(0, 0), moments=0)]))
    again = next(source.batches([order]))
    assert batch.scenes == whole.scenes == again.scenes
    assert [len(piece.latents) for piece in batch.pieces] == [3, 3]
    for piece, full, twin in zip(batch.pieces, whole.pieces, again.pieces, strict=True):
        (t, y, x), (frames, rows, columns) = piece.at, (*piece.latents.shape[1:2], *piece.latents.shape[3:])
        assert (frames, rows, columns) == (1, 4, 6)
        assert y % latents.PATCH == x % latents.PATCH == 0
        assert torch.equal(piece.latents, full.latents[:, t : t + 1, :, y : y + 4, x : x + 6])
        assert torch.equal(piece.animals, full.animals[:, t : t + 1, y : y + 4, x : x + 6])
        assert torch.equal(piece.latents, twin.latents)
        assert full.at == (0, 0, 0)


def test_a_size_that_was_not_kept_is_named(kept):
    with pytest.raises(FileNotFoundError, match="64x64: no latents"):
        next(Keeper(kept).batches([Order(seed=0, clips=1, width=64, height=64)]))


def test_a_window_has_its_positions_in_the_whole():
    latent = torch.zeros(1, 2, 16, 4, 6)
    piece = latents.Piece(latents=latent, animals=latent[:, :, 0], at=(1, 2, 4), whole=(3, 36, 64))
    for part, full in zip(window_rotary(piece, CPU), rotary(36, 64, 3, CPU), strict=True):
        grid = full.view(3, 18, 32, -1)
        expected = [grid[t, y, x] for t in (1, 2) for y in (1, 2) for x in (2, 3, 4)]
        assert torch.equal(part, torch.stack(expected))


def test_the_denoiser_trains_on_kept_latents(kept):
    look = Look(until=1.0, batch=4, sizes=(SIZE,), crop=(0, 4, 6), cuts=2)
    plan = replace(PLANS["tiny"], dit_looks=(look,), dit_noises=1)
    task = DitTask(plan, 0, CPU, arch.build(0, ["vae"])["vae"])
    batch = next(Keeper(kept).batches([task.order(0, 0.0)]))
    figures = task.loss(0, batch)
    # The first prediction is zero, so the loss is the velocity's own mean square, weighted.
    assert 0.3 < figures["loss"].item() < 2.0
    calm = replace(batch, pieces=tuple(replace(p, animals=torch.zeros_like(p.animals)) for p in batch.pieces))
    assert task.loss(0, calm)["loss"].item() != figures["loss"].item()
    assert task.loss(0, batch)["loss"].item() == figures["loss"].item()


def test_another_vae_has_another_folder():
    one, two = (arch.build(seed, ["vae"])["vae"] for seed in (0, 1))
    assert latents.digest(one) != latents.digest(two)
    assert latents.digest(one) == latents.digest(arch.build(0, ["vae"])["vae"])


def test_kept_latents_are_made_by_the_plan(tmp_path):
    plan = replace(PLANS["tiny"], kept=((SIZE, 16),))
    task = DitTask(plan, 0, CPU, arch.build(0, ["vae"])["vae"])
    source = keeper(task, tmp_path, Renderer(0))
    assert source.kept(SIZE).latents.shape == (16, 3, 16, 8, 12)
    assert np.isfinite(source.kept(SIZE).latents.float().numpy()).all()


def test_several_pieces_and_noises_keep_their_captions(kept, monkeypatch):
    look = Look(until=1.0, batch=4, sizes=(SIZE,), cuts=2)
    plan = replace(PLANS["tiny"], dit_looks=(look,), dit_noises=3)
    task = DitTask(plan, 0, CPU, arch.build(0, ["vae"])["vae"])
    batch = next(Keeper(kept).batches([task.order(0, 0.0)]))
    shown = []

    def seen(piece, texts, times, noise):
        shown.append((len(piece.latents), texts, times))
        return torch.zeros(len(texts))

    monkeypatch.setattr(task, "_error", seen)
    monkeypatch.setattr("cogexp.nano.training.dit.CAPTION_DROP", 0.0)
    task.loss(0, batch)
    assert [(clips, texts) for clips, texts, _ in shown] == [
        (2, list(batch.captions[:2]) * 3),
        (2, list(batch.captions[2:]) * 3),
    ]
    assert len(set(torch.cat([times for _, _, times in shown]).tolist())) == 12


def test_another_world_has_another_folder(tmp_path, monkeypatch):
    look = Look(until=1.0, batch=2, sizes=(SIZE,))
    plan = replace(PLANS["tiny"], dit_looks=(look,), kept=((SIZE, 1),))
    monkeypatch.setattr(latents, "CLIPS_A_FILE", 1)
    vae = arch.build(0, ["vae"])["vae"]
    folders = set()
    for entropy, seed in ((0.0, 0), (0.5, 0), (0.0, 1)):
        task = DitTask(replace(plan, entropy=entropy), seed, CPU, vae)
        folders.add(keeper(task, tmp_path, Renderer(0)).folder)
    assert len(folders) == 3


def test_a_training_begins_while_latents_are_made(tmp_path, monkeypatch):
    plan = replace(PLANS["tiny"], kept=((SIZE, 48),))
    task = DitTask(plan, 0, CPU, arch.build(0, ["vae"])["vae"])
    monkeypatch.setattr("cogexp.nano.training.keeper._ENOUGH", 16)
    monkeypatch.setattr("cogexp.nano.training.keeper._LOOK_SECONDS", 0.0)
    maker = Maker(task, tmp_path, Renderer(0))
    source = Keeper(tmp_path, maker=maker)
    maker.start()
    first = len(source.kept(SIZE).scenes)
    maker.join()
    assert 16 <= first <= len(source.kept(SIZE).scenes)
    assert len(source.kept(SIZE).scenes) == len(Keeper(tmp_path).kept(SIZE).scenes) == 48


def test_a_failure_beside_the_training_is_raised_in_it(tmp_path):
    plan = replace(PLANS["tiny"], kept=((SIZE, 16),))
    task = DitTask(plan, 0, CPU, arch.build(0, ["vae"])["vae"])

    def fail(clips):
        raise RuntimeError("out of memory")

    task.encode = fail
    maker = Maker(task, tmp_path, Renderer(0))
    maker.start()
    with pytest.raises(RuntimeError, match="out of memory"):
        Keeper(tmp_path, maker=maker).kept(SIZE)


def test_rendering_processes_fill_the_same_files(kept, tmp_path):
    with Renderer(2) as renderer:
        made = latents.fill(tmp_path, SIZE, 20, entropy=0.0, seed=3, encode=_encode, renderer=renderer)
        assert list(made) == [16, 32]
    mine, theirs = (latents.load(sorted((place / "96x64").iterdir())) for place in (tmp_path, kept))
    assert torch.equal(mine.latents, theirs.latents)
    assert torch.equal(mine.animals, theirs.animals)
    assert mine.scenes == theirs.scenes
