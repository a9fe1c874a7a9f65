"""Training: its equations against diffusers' own, and a resumed run against an uninterrupted one."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console

from cogexp.nano import arch, pack
from cogexp.nano.training import checkpoint
from cogexp.nano.training.clip import ClipTask
from cogexp.nano.training.dit import DitTask, noised, rotary
from cogexp.nano.training.judge import JudgeTask
from cogexp.nano.training.lean import lean
from cogexp.nano.training.loop import Schedule, train
from cogexp.nano.training.muon import Muon, optimizer_of, orthogonalized
from cogexp.nano.training.plans import PLANS, Look, look_at
from cogexp.nano.training.renderer import Renderer
from cogexp.nano.training.vae import VaeTask, psnr_db, to_pixels
from cogexp.nano.training.warm import answers_of, name_attributes
from cogexp.nano.world.grammar import CHOICES

CPU = torch.device("cpu")
TINY = PLANS["tiny"]


def _dit(plan=TINY):
    return DitTask(plan, 0, CPU, arch.build(0, ["vae"])["vae"])


TASKS = {
    "clip": lambda: ClipTask(TINY, 0, CPU),
    "judge": lambda: JudgeTask(TINY, 0, CPU),
    "dit": _dit,
    "vae": lambda: VaeTask(TINY, 0, CPU),
}


def _train(task, folder, **options):
    return train(task, folder, Renderer(0), console=Console(file=io.StringIO()), **options)


@pytest.mark.parametrize("part", list(TASKS))
def test_a_resumed_training_is_the_uninterrupted_one(part, tmp_path):
    task = TASKS[part]()
    task.evaluate = dict
    whole = _train(task, tmp_path / "whole")
    for pause_at in (0.5, None):
        task = TASKS[part]()
        task.evaluate = dict
        progress = _train(task, tmp_path / "pieces", pause_at=pause_at)
        assert progress.step == (2 if pause_at else 4)
    assert whole.step == 4
    one, two = (checkpoint.load_average(tmp_path / name) for name in ("whole", "pieces"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[k], v) for k, v in checkpoint.flat(TASKS[part]().modules).items())


def test_the_denoiser_learns_one_batch():
    task = _dit()
    for module in task.modules.values():
        module.train().requires_grad_(True)
    parameters = [p for module in task.modules.values() for p in module.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3)
    from cogexp.nano.training.orders import render_order

    batch, losses = render_order(task.order(0, 0.0)), []
    for _ in range(8):
        loss = task.loss(0, batch)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.85 * losses[0]


def test_noise_and_velocity_are_the_schedulers():
    scheduler = arch.build_scheduler()
    rng = torch.Generator().manual_seed(0)
    x, eps = (torch.randn(3, 2, 16, 4, 4, generator=rng) for _ in range(2))
    times = torch.tensor([0, 500, 999])
    noisy, velocity = noised(x, eps, scheduler.alphas_cumprod[times].float())
    torch.testing.assert_close(noisy, scheduler.add_noise(x, eps, times))
    torch.testing.assert_close(velocity, scheduler.get_velocity(x, eps, times))
    assert torch.allclose(noisy[2], eps[2], atol=1e-6), "the last step must be pure noise"


@pytest.mark.parametrize("size", [(512, 288), (256, 144), (384, 224)])
def test_positions_are_the_pipelines(size):
    from diffusers import CogVideoXPipeline

    pipe = CogVideoXPipeline(**arch.build(0))
    width, height = size
    theirs = pipe._prepare_rotary_positional_embeddings(height, width, 3, CPU)
    ours = rotary(height // 8, width // 8, 3, CPU)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("frames", [1, 9])
def test_the_lean_vae_is_the_stock_one(frames):
    vaes = [arch.build(0, ["vae"])["vae"].requires_grad_(True) for _ in range(2)]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for ours, theirs in zip(*(vae.parameters() for vae in vaes), strict=True):
            ours.data += 0.02 * torch.randn_like(ours)
            theirs.data.copy_(ours)
    lean(vaes[0])
    pixels = torch.randn(1, 3, frames, 32, 48, generator=torch.Generator().manual_seed(frames))
    results = []
    for vae in vaes:
        picture = vae.decode(vae.encode(pixels).latent_dist.mode()).sample
        picture.square().mean().backward()
        results.append((picture.detach(), vae.encoder.conv_in.conv.weight.grad))
    assert results[0][0].shape == pixels.shape
    torch.testing.assert_close(results[0][0], results[1][0], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(results[0][1], results[1][1], atol=2e-5, rtol=1e-3)


def test_psnr_known_answers():
    a = torch.zeros(1, 3, 1, 4, 4)
    assert psnr_db(a, a + 0.2) == pytest.approx(20.0, abs=1e-4)
    assert psnr_db(a, a + 0.02) == pytest.approx(40.0, abs=1e-3)
    assert psnr_db(a + 0.9, a + 5.0) == pytest.approx(26.02, abs=0.01), "out-of-range values are clamped"


def test_pixels_reach_both_ends():
    clips = np.array([0, 255], np.uint8).reshape(1, 1, 1, 2, 1).repeat(3, axis=4)
    assert to_pixels(clips, CPU).flatten().tolist() == [-1, 1] * 3


def test_schedule():
    schedule = Schedule(steps=100, peak=1.0, warmup=10, cooldown=0.5)
    rates = [schedule.rate(checkpoint.Progress(step=step)) for step in (0, 9, 50, 75, 99)]
    assert rates == pytest.approx([0.1, 1.0, 1.0, 0.5, 0.02])
    timed = Schedule(steps=100, peak=1.0, minutes=2)
    assert timed.share(checkpoint.Progress(step=5, seconds=30)) == 0.25
    looks = (Look(until=0.5, batch=1, sizes=((64, 64),)), Look(until=1.0, batch=2, sizes=((64, 64),)))
    assert [look_at(looks, share).batch for share in (0.0, 0.49, 0.5, 1.0)] == [1, 1, 2, 2]


def test_an_interrupted_exchange_of_folders_is_repaired(tmp_path):
    old = tmp_path / "vae.old"
    old.mkdir()
    (old / "progress.json").write_text('{"step": 7, "seconds": 1.0, "device": "", "history": []}')
    assert checkpoint.load_progress(tmp_path / "vae").step == 7
    assert (tmp_path / "vae").is_dir()
    assert checkpoint.load_progress(tmp_path / "clip") is None


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path):
    task = ClipTask(TINY, 0, CPU)
    task.loss = lambda step, batch: {
        "loss": sum(p.sum() for p in task.modules["clip"].parameters()) * torch.nan
    }
    with pytest.raises(FloatingPointError, match="clip: the loss is nan"):
        _train(task, tmp_path / "clip")


@pytest.mark.parametrize("shape", [(16, 64), (64, 16), (16, 8, 3, 3)])
def test_orthogonalized_is_near_the_polar_factor(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    ours = orthogonalized(matrix).flatten(1)
    values = torch.linalg.svdvals(ours)
    assert values.min() > 0.6
    assert values.max() < 1.3
    u, _, v = torch.linalg.svd(matrix.flatten(1), full_matrices=False)
    assert torch.nn.functional.cosine_similarity(ours.flatten(), (u @ v).flatten(), dim=0) > 0.97


def test_the_other_groups_step_as_adamw_does():
    ours, theirs = (torch.nn.Parameter(torch.linspace(-1, 1, 12)) for _ in range(2))
    mine = Muon([{"params": [ours], "lr": 0.01, "weight_decay": 0.1}])
    reference = torch.optim.AdamW([theirs], lr=0.01, betas=(0.9, 0.98), weight_decay=0.1)
    for step in range(5):
        for parameter, optimizer in ((ours, mine), (theirs, reference)):
            parameter.grad = torch.sin(parameter.detach() * 3 + step)
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_muon_takes_the_kernels_inside():
    task = VaeTask(replace(TINY, vae=replace(TINY.vae, muon=0.02)), 0, CPU)
    groups = optimizer_of(task).param_groups
    sizes = {bool(group.get("orthogonal")): len(group["params"]) for group in groups if group["params"]}
    everything = sum(len(group["params"]) for group in groups)
    assert everything == sum(1 for _ in task.modules["vae"].parameters())
    assert sizes[True] > 30
    assert not any(p is task.modules["vae"].encoder.conv_in.conv.weight for p in groups[-1]["params"])


def test_four_bits_keep_the_values_near():
    tensors = {"a/w": torch.randn(64, 128, generator=torch.Generator().manual_seed(0)), "a/b": torch.ones(5)}
    packed = pack.pack(tensors)
    again = pack.unpack(packed)
    assert again.keys() == tensors.keys()
    assert torch.equal(again["a/b"], tensors["a/b"])
    assert (again["a/w"] - tensors["a/w"]).abs().max() <= tensors["a/w"].abs().max() / 14 * 1.01
    size = sum(t.numel() * t.element_size() for t in packed.values())
    assert size < 0.3 * tensors["a/w"].numel() * 2


def test_every_token_learns_to_name_the_attributes():
    chance = sum(np.log(len(choices)) for choices in CHOICES.values())
    encoder = arch.build(0, ["text_encoder"])["text_encoder"]
    assert name_attributes(encoder, 25, seed=0) < 0.8 * chance
    again = arch.build(0, ["text_encoder"])["text_encoder"]
    name_attributes(again, 2, seed=0)
    twin = arch.build(0, ["text_encoder"])["text_encoder"]
    name_attributes(twin, 2, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), twin.parameters(), strict=True))


def test_what_a_caption_omits_is_not_asked_for():
    answers = dict(zip(CHOICES, answers_of("two wolves at night"), strict=True))
    assert answers["count"] == CHOICES["count"].index("two")
    assert answers["animal"] == CHOICES["animal"].index("wolf")
    assert answers["time"] == CHOICES["time"].index("night")
    assert answers["camera"] == CHOICES["camera"].index("still")
    assert answers["colour"] == answers["place"] == answers["action"] == -100


def test_high_noise_comes_first():
    plan = replace(TINY, dit_lowest=((0.5, 900), (1.0, 0)))
    task = _dit(plan)
    task.order(0, 0.2)
    task.order(1, 0.7)
    noise = torch.Generator().manual_seed(0)
    first, later = (task._times(64, task.lowest[step], noise) for step in (0, 1))
    assert first.min() >= 900
    assert first.max() == 999
    assert later.min() < 30
    assert len(later.unique()) == 64, "one from each of equal intervals"


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_covers_its_whole_training(name):
    plan = PLANS[name]
    for shares in (
        [look.until for look in plan.vae_looks],
        [look.until for look in plan.dit_looks],
        [until for until, _ in plan.dit_lowest],
    ):
        assert shares == sorted(set(shares))
        assert shares[-1] == 1.0
    # A clip that is not kept has no windows.
    kept = {size for size, _ in plan.kept}
    assert all(look.crop == (0, 0, 0) or set(look.sizes) <= kept for look in plan.dit_looks)
