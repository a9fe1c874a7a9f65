"""Train the embedded model: `python -m cogexp.nano.train [all|vae|clip|judge|dit|measure|adherence|ship]`.

Every part resumes from its checkpoint, so a long training can be done in pieces with `--minutes`. With
`--from shipped` parts without a checkpoint begin with the package's weights: `dit --from shipped` trains the
denoiser on the shipped VAE, `vae --from shipped` trains that VAE further. On a CPU start one process a core:
`torchrun --nproc-per-node 2 -m cogexp.nano.train dit --plan cpu --threads 1 --compile`, and `--plan cpu-more
--from shipped` for a denoiser that the package has.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from cogexp.nano.training.plans import Plan
    from cogexp.nano.training.renderer import Renderer

PARTS = ("vae", "clip", "judge", "dit")
WHAT = ("all", *PARTS, "measure", "adherence", "ship")


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 0 when done, 2 for a wrong request, 130 when interrupted."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except KeyboardInterrupt:
        print("interrupted: call again to go on from the last checkpoint", file=sys.stderr)
        return 130
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cogexp.nano.train", description=__doc__)
    parser.add_argument("what", nargs="?", default="all", choices=WHAT)
    parser.add_argument(
        "--folder", type=Path, default=Path("outputs/nano"), help="checkpoints (default: %(default)s)"
    )
    parser.add_argument(
        "--plan", choices=("auto", "gpu", "gpu-more", "cpu", "cpu-more", "tiny"), default="auto"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto")
    parser.add_argument(
        "--minutes", type=float, help="stop this call after so many minutes; call again to go on"
    )
    parser.add_argument("--budget", action="append", default=[], metavar="PART=MINUTES",
                        help="the whole training of a part takes so long, whatever its steps")  # fmt: skip
    parser.add_argument("--steps", action="append", default=[], metavar="PART=STEPS")
    parser.add_argument("--entropy", type=float, help="how much the world varies, 0..1 (default: the plan's)")
    parser.add_argument(
        "--workers", type=int, help="rendering processes (default: the cores but one; 0: none)"
    )
    parser.add_argument("--threads", type=int, help="torch's CPU threads")
    parser.add_argument("--compile", action="store_true", help="compile the denoiser's blocks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save-every", type=float, default=300.0, metavar="SECONDS")
    parser.add_argument("--evaluate-every", type=float, default=600.0, metavar="SECONDS")
    parser.add_argument("--compact", type=Path, metavar="DIR", help="also write small resumable copies there")
    parser.add_argument("--resume-from", type=Path, metavar="DIR", help="compact copies to begin with")
    parser.add_argument("--from", dest="begin_from", choices=("nothing", "shipped"), default="nothing",
                        help="first weights of parts without a checkpoint (%(default)s)")  # fmt: skip
    parser.add_argument("--to", type=Path, help="where `ship` writes (default: the package)")
    parser.add_argument("--only", action="append", choices=PARTS, help="part to `measure` (default: all)")
    parser.add_argument("--clips", type=int, default=96, help="prompts for `adherence`")
    parser.add_argument("--sampling-steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--size", default="512x288", help="of the clips for `adherence`")
    return parser


def _run(options: argparse.Namespace) -> int:
    import torch

    keep_pages()
    device = torch.device(
        ("cuda" if torch.cuda.is_available() else "cpu") if options.device == "auto" else options.device
    )
    if options.threads:
        torch.set_num_threads(options.threads)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
    if options.what in PARTS or options.what == "all":
        return _train(options, device)
    from cogexp.nano.training import commands

    if options.what == "ship":
        commands.ship_all(options)
    elif options.what == "adherence":
        commands.measure_adherence(options, device)
    else:
        plan = plan_of(options, device)
        # The model card's figures: on 64 clips or scenes, however few an evaluation in training takes.
        plan = plan if options.plan == "tiny" else replace(plan, held_out_clips=64)
        commands.measure(options, plan, _about(options, plan, device), device)
    return 0


def keep_pages() -> None:
    """Tell glibc to keep freed memory: on a CPU page faults cost the VAE more than its arithmetic."""
    if sys.platform != "linux":
        return
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return  # musl: nothing to tune.
    m_trim_threshold, m_mmap_threshold = -1, -3
    libc.mallopt(m_mmap_threshold, 1 << 30)
    libc.mallopt(m_trim_threshold, 2**31 - 1)


def plan_of(options: argparse.Namespace, device: torch.device) -> Plan:
    """The plan with the command line's changes. Raises ValueError for a malformed PART=NUMBER."""
    from cogexp.nano.training.plans import PLANS

    name = options.plan if options.plan != "auto" else ("gpu" if device.type == "cuda" else "cpu")
    plan = PLANS[name]
    if options.entropy is not None:
        plan = replace(plan, entropy=options.entropy)
    for key, pairs in (("steps", options.steps), ("minutes", options.budget)):
        for pair in pairs:
            part, _, number = pair.partition("=")
            if part not in PARTS or not number.replace(".", "", 1).isdigit():
                option = "--budget" if key == "minutes" else "--steps"
                raise ValueError(
                    f"{option} must be PART=NUMBER, PART one of {', '.join(PARTS)}, got {pair!r}"
                )
            schedule = getattr(plan, part)
            # Whichever was asked for ends the part: a plan's minutes do not outlive `--steps`.
            schedule = (
                replace(schedule, minutes=float(number))
                if key == "minutes"
                else replace(schedule, steps=int(float(number)), minutes=None)
            )
            plan = replace(plan, **{part: schedule})
    return plan


def _train(options: argparse.Namespace, device: torch.device) -> int:
    from cogexp.nano.training import ranks
    from cogexp.nano.training.renderer import Renderer

    plan = plan_of(options, device)
    parts = PARTS if options.what == "all" else (options.what,)
    world = ranks.join()
    spare = max((os.cpu_count() or 2) - 1, 1) if world.size == 1 else 0
    workers = options.workers if options.workers is not None else spare
    deadline = time.monotonic() + options.minutes * 60 if options.minutes else float("inf")
    if world.first and options.resume_from:
        _begin_with(options.resume_from, options.folder)
    if world.first and options.begin_from == "shipped":
        _begin_from_shipped(options.folder)
    world.wait()
    with Renderer(workers) as renderer:
        for part in parts:
            if time.monotonic() >= deadline:
                break
            _train_part(part, plan, options, device, renderer, deadline)
    return 0


def _begin_with(compact: Path, folder: Path) -> None:
    import shutil

    for source in compact.iterdir():
        if source.is_dir() and not (folder / source.name).exists():
            shutil.copytree(source, folder / source.name)


def _begin_from_shipped(folder: Path) -> None:
    from cogexp.nano.training.ship import begin_from_shipped
    from cogexp.nano.weights import FOLDER

    begun = begin_from_shipped(FOLDER, folder)
    print(f"begin with the package's weights: {', '.join(begun) or 'none'}", file=sys.stderr)


def _about(options: argparse.Namespace, plan: Plan, device: torch.device) -> dict[str, str]:
    name = options.plan if options.plan != "auto" else ("gpu" if device.type == "cuda" else "cpu")
    return {"plan": name, "entropy": f"{plan.entropy:g}"}


def _train_part(
    part: str,
    plan: Plan,
    options: argparse.Namespace,
    device: torch.device,
    renderer: Renderer,
    deadline: float,
) -> None:
    from cogexp.nano.training import checkpoint, commands, ranks, ship, tasks
    from cogexp.nano.training.dit import DitTask
    from cogexp.nano.training.keeper import keeper
    from cogexp.nano.training.loop import train

    folder, world = options.folder / part, ranks.join()
    task = tasks.build(part, plan, options.seed, device, options.folder)
    if isinstance(task, DitTask) and checkpoint.load_progress(folder) is None:
        task.begin()
    if options.compile and isinstance(task, DitTask):
        task.compile()
    kept = keeper(task, options.folder, renderer) if isinstance(task, DitTask) and plan.kept else None
    early = plan.dit_early if part == "dit" and not (options.folder / "dit-early").exists() else None
    pauses = (early, None) if early is not None else (None,)
    for pause_at in pauses:
        progress = train(
            task,
            folder,
            kept or renderer,
            seconds=deadline - time.monotonic(),
            save_every=options.save_every,
            evaluate_every=options.evaluate_every,
            pause_at=pause_at,
            about=_about(options, plan, device),
        )
        if world.first and pause_at is not None and task.schedule.share(progress) >= pause_at:
            ship.keep_early(options.folder)
        if time.monotonic() >= deadline:
            break
    if kept is not None and kept.maker is not None:
        kept.maker.stop()
    if not world.first:
        return
    if part == "vae":
        tasks.write_scaling(plan, options.folder, device)
    if options.compact:
        checkpoint.write_compact(folder, options.compact / part)
    said = {"part": part, "step": progress.step, "minutes": round(progress.seconds / 60, 1)}
    done = task.schedule.share(progress) >= 1.0
    print(json.dumps({**said, "done": done, **commands.latest(progress)}))


if __name__ == "__main__":
    sys.exit(main())
