"""The engine of one GPU, or of one CPU, that denoises the next clip while it finishes the one before.

Decoding, upscaling, measuring, writing and waiting for W&B take a third to a half of the time when one
process does one thing after the other. Here a second process denoises and leaves the latents in the store.
On a CPU the first process denoises, too, whenever it would wait, and the second one decodes what it denoised:
each then computes with half of the cores, which makes more clips than one process with all of them. Large
clips of a prompt come first there, so that both end together.
A sweep that is killed loses at most the run under way and what was being denoised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cogexp import machine
from cogexp import record as records
from cogexp.allocator import freed_pages_stay
from cogexp.build import Request, Settings
from cogexp.catalog import VARIANTS
from cogexp.launch.ahead import Ahead, frames_of, latents_of
from cogexp.launch.basic import Clock
from cogexp.launch.execute import execute
from cogexp.launch.lost import record_lost
from cogexp.launch.process import usable_cores
from cogexp.launch.second import Make
from cogexp.plan import cards, memory
from cogexp.plan.weights import weights
from cogexp.run import FirstHalf, forget_denoiser
from cogexp.spec import RunSpec, SpecError
from cogexp.store import Keys
from cogexp.study.order import model_key
from cogexp.system import host_memory
from cogexp.terminal import Progress

CONTEXT_GIB = 0.5  # of GPU memory, for each process that uses it
NOTE = "overlap: two processes work at a time, so seconds are longer than those of a run alone"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The key of hydra/launcher=overlap: how many clips the second process may be ahead."""

    ahead: int = 6


def check(settings: Settings, options: Options) -> None:
    """Raise SpecError for options that make no sense here."""
    if not (isinstance(options.ahead, int) and options.ahead >= 1):
        raise SpecError(f"hydra.launcher.ahead must be at least 1, got {options.ahead!r}; nearest: 1")
    if settings.store_gb <= 0:
        raise SpecError(
            "store_gb must be above 0 with hydra/launcher=overlap, which hands latents over in the store, "
            f"got {settings.store_gb:g}; nearest: store_gb=1"
        )


def check_memory(specs: Sequence[RunSpec], device: str) -> None:
    """Raise SpecError when denoising one clip and finishing another do not fit the GPU together."""
    here = machine.gpu() if device.startswith("cuda") else None
    if here is None or not specs:
        return
    first = max(_peak(spec, ("encode", "denoise")) for spec in specs)
    # This process never holds what encodes and denoises.
    second = max(_peak(spec, ("decode", "upscale")) - _not_the_decoder(spec) for spec in specs)
    needed, usable = first + second + CONTEXT_GIB, cards.of_machine(here).usable_gib
    if needed > usable:
        raise SpecError(
            f"hydra/launcher=overlap needs {needed:.1f} GiB for denoising beside decoding, "
            f"got {here.name} with {usable:.1f} GiB to use; nearest: hydra/launcher=basic"
        )


def both_denoise(specs: Sequence[RunSpec], device: str) -> bool:
    """On a CPU with several cores, and memory for everything twice."""
    if device != "cpu" or usable_cores() < 2 or not specs:
        return False
    twice = 2 * max(_peak(spec, ("encode", "denoise", "decode", "upscale")) for spec in specs)
    return twice <= host_memory.host_memory().available_gib


def longest_first(specs: Sequence[RunSpec]) -> list[int]:
    """Indices of `specs` such that large clips come before small ones of the same model and prompt.

    Two processes that share the clips end together when the last ones are short.
    """
    seen: dict[tuple[str, str], int] = {}
    ranks = [seen.setdefault((model_key(spec), Keys.of(spec).encode), len(seen)) for spec in specs]
    return sorted(range(len(specs)), key=lambda index: (ranks[index], -_work(specs[index])))


def _work(spec: RunSpec) -> int:
    """What a denoising takes, roughly: pixels times steps."""
    size = spec.resolution
    return size.width * size.height * size.frames * spec.sampler.steps


def _peak(spec: RunSpec, names: tuple[str, ...]) -> float:
    stages = memory.stages(spec, VARIANTS[spec.model.name])
    return max(stages[name].peak_allocated_gib for name in names if name in stages)


def _not_the_decoder(spec: RunSpec) -> float:
    """GiB of the other parts' weights that one process would hold while it decodes."""
    variant = VARIANTS[spec.model.name]
    return max(memory.resident(spec, variant, "decode") - weights(spec, variant)["vae"], 0.0)


def launch(
    requests: Sequence[Request],
    progress: Progress,
    seconds: Sequence[float | None],
    options: Options,
    make: Make | None = None,
) -> None:
    """Run `requests` one after the other, each denoised ahead; `seconds`: how long each is expected to take.

    Raises:
        SpecError: options that make no sense here, or a GPU that is too small for two processes.
        KeyboardInterrupt: after the interrupted run was recorded.
    """
    settings = requests[0].settings
    check(settings, options)
    check_memory([request.spec for request in requests], settings.device)
    both = both_denoise([request.spec for request in requests], settings.device)
    if both:
        turns = longest_first([request.spec for request in requests])
        requests, seconds = [requests[turn] for turn in turns], [seconds[turn] for turn in turns]
    # Where both denoise, the second one decodes, too: what is left for the first one is short, and so is
    # the time at the end in which only one of them has work.
    there, here = (make or frames_of, make or latents_of) if both else (make or latents_of, None)
    ahead = Ahead(requests, options.ahead, there, here=here)
    clock = Clock(seconds)
    try:
        with freed_pages_stay(both):
            for index, request in enumerate(requests):
                progress.say(f"[{index + 1}/{len(requests)}] {request.spec.run_id}{clock.left(index)}")
                _finish(request, ahead, progress, keep=both)
    finally:
        ahead.stop()


def _finish(request: Request, ahead: Ahead, progress: Progress, *, keep: bool) -> None:
    """One job, from its latents on; one whose latents could not be made is tried here, and fails recorded."""
    started = records.now()
    try:
        made = ahead.take(request, progress)
    except KeyboardInterrupt:
        record_lost(request, "the sweep was interrupted", status="interrupted", started=started)
        raise
    progress = ahead.paced(progress)
    if made is not None and made.problem:
        progress.say(f"{request.spec.run_id} could not be denoised ahead and is tried again: {made.problem}")
        execute(request, progress)
        if not keep:
            forget_denoiser()  # its memory is the second process's
        return
    if made is None:
        execute(request, progress)
        return
    notes = {"hydra.launcher": NOTE, **made.half.notes}
    half = FirstHalf(notes=notes, stages=made.half.stages)
    execute(request, progress, first_half=half)
