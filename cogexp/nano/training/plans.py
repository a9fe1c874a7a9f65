"""How much of what each part sees: a plan for a GPU, two for CPU hours, one for tests. Numbers only."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cogexp.nano.training.loop import Schedule

NATIVE, HALF, MEDIUM, LARGE = (512, 288), (256, 144), (384, 224), (720, 480)


@dataclass(frozen=True, kw_only=True)
class Look:
    """A share of the training: until `until` (0..1), batches of `batch` at one of `sizes` (width, height).

    crop: (frames, height, width) cut from each clip, (0, 0, 0) for the whole; cuts: how many a clip. For the
    denoiser: latent frames, rows and columns of a window, 0 for all; `cuts` windows share the batch.
    alike: `batch` is that of clips of the native size; of other sizes as many as have as many pixels.
    """

    until: float
    batch: int
    sizes: tuple[tuple[int, int], ...]
    crop: tuple[int, int, int] = (0, 0, 0)
    cuts: int = 1
    alike: bool = False

    def clips(self, width: int, height: int) -> int:
        """How many clips of this size make a batch."""
        share = NATIVE[0] * NATIVE[1] / (width * height) if self.alike else 1.0
        return max(round(self.batch * share), 1)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Schedules and looks of all parts, the world's entropy, and how many clips an evaluation takes."""

    entropy: float
    vae: Schedule
    vae_looks: tuple[Look, ...]
    clip: Schedule
    clip_batch: int
    judge: Schedule
    judge_batch: int
    dit: Schedule
    dit_looks: tuple[Look, ...]
    # How many noises a clip is shown with in one step.
    dit_noises: int
    held_out_clips: int
    # (share, lowest time) of the denoiser's training: until that share only such times and higher are drawn.
    dit_lowest: tuple[tuple[float, int], ...] = ((1.0, 0),)
    # At this share of its training the denoiser is kept as the weak model.
    dit_early: float = 0.12
    # Steps of the text encoder's first lesson (warm.py).
    text_steps: int = 250
    # How many clips of each size the denoiser sees, encoded once and kept; none: fresh clips at each step.
    kept: tuple[tuple[tuple[int, int], int], ...] = ()


PLANS: dict[str, Plan] = {
    "gpu": Plan(
        # Some eighty layouts a place: the seed decides where the trees stand, the caption everything else.
        entropy=0.02,
        vae=Schedule(steps=9000, minutes=6, peak=1e-3, muon=0.01, cooldown=0.7, average_decay=0.99),
        vae_looks=(
            # Many small pieces of many pictures first: 6 dB ahead of few large ones at the same compute.
            Look(until=0.08, batch=32, sizes=(NATIVE,), crop=(1, 128, 128), cuts=4),
            Look(until=0.40, batch=16, sizes=(NATIVE, LARGE), crop=(9, 96, 128), cuts=4),
            # The group norms of a whole picture see sky and ground together.
            Look(until=1.00, batch=8, sizes=(NATIVE, NATIVE, NATIVE, MEDIUM, HALF, LARGE), alike=True),
        ),
        clip=Schedule(steps=4000, minutes=2, peak=2e-3, muon=0.02, warmup=100, cooldown=0.5),
        clip_batch=128,
        judge=Schedule(steps=4000, minutes=2, peak=1e-3),
        judge_batch=64,
        dit=Schedule(
            steps=20000, minutes=5.6, peak=2e-3, muon=0.02, warmup=100, cooldown=1.0, average_decay=0.998
        ),
        dit_looks=(
            # Compiled, a step of 512 clips of half the size takes an H200 80 ms, about as long as starting
            # its kernels: smaller batches would not be faster.
            Look(until=0.45, batch=128, sizes=(HALF,)),
            Look(until=1.00, batch=32, sizes=(NATIVE,) * 8 + (HALF, HALF, MEDIUM, LARGE), alike=True),
        ),
        dit_noises=4,
        dit_early=0.15,
        held_out_clips=64,
        kept=((HALF, 12288), (NATIVE, 5120), (MEDIUM, 768), (LARGE, 384)),
    ),
    "cpu": Plan(
        entropy=0.0,
        # In minutes of one core. The average forgets within 50 steps: over 500 it still held the weights of
        # other looks, and was 2 dB behind the last weights.
        vae=Schedule(steps=3200, minutes=46, peak=1e-3, muon=0.01, cooldown=0.7, average_decay=0.98),
        vae_looks=(
            Look(until=0.20, batch=2, sizes=(NATIVE,), crop=(1, 64, 64), cuts=4),
            # Four clips a step at least: with two pieces of one clip the error stayed where it was.
            Look(until=0.62, batch=4, sizes=(NATIVE,), crop=(9, 48, 48)),
            # Strips of the whole height: the group norms see sky and ground together, as in a whole picture.
            # (A VAE that has seen only small squares is 2 dB worse on whole pictures than on squares.)
            Look(until=0.86, batch=2, sizes=(NATIVE,), crop=(9, 288, 48)),
            Look(until=1.00, batch=1, sizes=(NATIVE,), crop=(9, 288, 160)),
        ),
        clip=Schedule(steps=800, minutes=14, peak=2e-3, muon=0.02, warmup=100, cooldown=0.5),
        clip_batch=64,
        judge=Schedule(steps=6000, peak=1e-3),
        judge_batch=32,
        # In minutes of two processes of one core each. The rate falls from the beginning: a constant one
        # leaves the error at the noise of its batches of 16.
        dit=Schedule(
            steps=6000, minutes=80, peak=2e-3, muon=0.02, warmup=20, cooldown=1.0, average_decay=0.99
        ),
        # Where there is little but noise, one latent frame tells what the caption decides, at a third of the
        # tokens. Windows of 18x32 latents have as many as a whole clip at half the size.
        dit_looks=(
            Look(until=0.12, batch=8, sizes=(HALF,), crop=(1, 0, 0)),
            Look(until=0.20, batch=4, sizes=(HALF,)),
            Look(until=0.42, batch=6, sizes=(HALF,)),
            Look(until=0.50, batch=3, sizes=(NATIVE,), crop=(1, 0, 0)),
            Look(until=0.90, batch=6, sizes=(NATIVE, NATIVE, NATIVE, HALF), crop=(0, 18, 32), cuts=2),
            Look(until=1.00, batch=2, sizes=(NATIVE,)),
        ),
        dit_noises=1,
        # High noise first: alone, it learned the land of 1,000 clips as well as among all times of 6,000.
        dit_lowest=((0.12, 900), (0.20, 600), (0.42, 0), (0.50, 800), (1.0, 0)),
        held_out_clips=4,
        kept=((HALF, 1600), (NATIVE, 256)),
    ),
    "tiny": Plan(
        entropy=0.0,
        vae=Schedule(steps=4, peak=1e-3, warmup=2),
        vae_looks=(
            Look(until=0.5, batch=1, sizes=((96, 64),), crop=(1, 64, 64), cuts=2),
            Look(until=1.0, batch=1, sizes=((96, 64),), crop=(9, 32, 48)),
        ),
        clip=Schedule(steps=4, peak=1e-3, warmup=2),
        clip_batch=8,
        judge=Schedule(steps=4, peak=1e-3, warmup=2),
        judge_batch=4,
        dit=Schedule(steps=4, peak=1e-3, warmup=2),
        dit_looks=(Look(until=1.0, batch=2, sizes=((96, 64), (64, 64))),),
        dit_noises=2,
        held_out_clips=2,
        text_steps=2,
    ),
}

# For a VAE that was trained before: no small pieces again.
PLANS["gpu-more"] = replace(
    PLANS["gpu"],
    vae_looks=(
        Look(until=0.30, batch=8, sizes=(NATIVE, LARGE), crop=(9, 96, 128), cuts=4),
        Look(until=1.00, batch=6, sizes=(NATIVE, NATIVE, NATIVE, MEDIUM, HALF, LARGE), alike=True),
    ),
)
# For a denoiser that was trained before (--from shipped): all noises from the beginning, at a lower rate. To
# begin with high noise alone again would unlearn the rest.
PLANS["cpu-more"] = replace(
    PLANS["cpu"],
    dit=replace(PLANS["cpu"].dit, peak=1.2e-3, muon=0.012),
    dit_looks=(
        Look(until=0.25, batch=6, sizes=(HALF,)),
        Look(until=0.85, batch=6, sizes=(NATIVE, NATIVE, NATIVE, HALF), crop=(0, 18, 32), cuts=2),
        Look(until=1.00, batch=2, sizes=(NATIVE,)),
    ),
    dit_lowest=((1.0, 0),),
)


def look_at(looks: tuple[Look, ...], share: float) -> Look:
    """The look that is in force at this share of the training."""
    return next((look for look in looks if share < look.until), looks[-1])
