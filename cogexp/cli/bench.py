"""`bench`: what settings cost on this machine, measured in a few steps with random weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from cogexp.bench import Bench, bench
from cogexp.build import Request, build
from cogexp.cli import compose, tables
from cogexp.cli.runs import second_interrupt_leaves, show_log_lines
from cogexp.spec import OptimizationSpec, SpecError
from cogexp.terminal import for_stderr

TIMED = 3


def command(argv: list[str]) -> int:
    """0; 1 when a setting failed for another reason than memory. A wrong request raises SpecError."""
    as_json, timed, rest = split_own(argv)
    requests = distinct([build(job) for job in compose.compose_jobs(parse(rest))])
    settings = requests[0].settings
    show_log_lines(settings.debug)
    second_interrupt_leaves()
    progress = for_stderr()
    found = []
    for index, request in enumerate(requests, 1):
        if len(requests) > 1:
            progress.say(f"[{index}/{len(requests)}] {label(request.spec.to_dict())}")
        found.append(
            bench(
                request.spec,
                settings.outputs,
                device=settings.device,
                timed=timed,
                force=settings.force,
                resolved=request.resolved,
                progress=progress,
            )
        )
    if as_json:
        print(json.dumps([one.to_dict() for one in found], allow_nan=False, indent=2))
    else:
        show(found)
    return int(any(one.status == "failed" for one in found))


def split_own(argv: list[str]) -> tuple[bool, int, list[str]]:
    """bench's own words (--json, timed=N) and the rest, which compose as for a sweep.

    Raises:
        SpecError: timed is no number of steps.
    """
    rest = [word for word in argv if word != "--json" and word.partition("=")[0] != "timed"]
    given = [word.partition("=")[2] for word in argv if word.partition("=")[0] == "timed"]
    value = given[-1] if given else str(TIMED)
    if not value.isdigit() or not 1 <= int(value) <= 1000:
        raise SpecError(f"timed must be a number of steps from 1 to 1000, got {value!r}; nearest: {TIMED}")
    return "--json" in argv, int(value), rest


def parse(argv: list[str]) -> compose.Words:
    """The words of a sweep; a public model gets random weights unless they are asked for."""
    keys = {word.partition("=")[0] for word in argv}
    full = any(word.startswith("model=") and word not in ("model=nano", "model=auto") for word in argv)
    if full and not {"model.weights", "model.path"} & keys:
        argv = [*argv, "model.weights=random"]
    return compose.parse_words(argv if "-m" in argv or "--multirun" in argv else ["-m", *argv])


def distinct(requests: list[Request]) -> list[Request]:
    """Each setting once, in order."""
    return list({request.spec.run_id: request for request in requests}.values())


def label(spec: dict[str, Any]) -> str:
    """'cogvideox-5b 512x288x49 bfloat16: offload=model, vae_tiling=edge'."""
    size = spec["resolution"]
    head = (
        f"{spec['model']['name']} {size['width']}x{size['height']}x{size['frames']} {spec['model']['dtype']}"
    )
    return f"{head}: {flags_of(spec)}"


def flags_of(spec: dict[str, Any], without: frozenset[tuple[str, Any]] = frozenset()) -> str:
    """The flags that are set, but for those in `without`; or 'none'."""
    changed = OptimizationSpec(**spec["optimization"]).changed()
    shown = [f"{k}={str(v).lower()}" for k, v in changed.items() if (k, v) not in without]
    return ", ".join(shown) or "none"


def show(found: list[Bench]) -> None:
    """The table on stdout, and below it what took hold how."""
    out = tables.console()
    on_gpu = "gpu" in found[0].device
    where = found[0].device.get("gpu") or f"{found[0].device['cpu']} (CPU)"
    versions = found[0].versions
    common = frozenset.intersection(
        *(frozenset(OptimizationSpec(**one.spec["optimization"]).changed().items()) for one in found)
    )
    heads = {label(one.spec).partition(": ")[0] for one in found}
    out.print()
    out.print(Text(f"{where}, torch {versions.get('torch')}, diffusers {versions.get('diffusers')}", "bold"))
    same = [*sorted(heads), f"{found[0].spec['model']['weights']} weights"] if len(heads) == 1 else []
    same += [f"{key}={str(value).lower()}" for key, value in sorted(common)] if len(found) > 1 else []
    if same:
        out.print(Text("all: " + ", ".join(same) if len(found) > 1 else ", ".join(same), "dim"))
    hidden = common if len(found) > 1 else frozenset()
    table = Table(box=None, header_style="dim")
    table.add_column("setting", overflow="fold")
    unit = "s" if on_gpu else "CPU s"
    memory = ["peak GiB", "reserved GiB", "plan GiB", "plan off by"] if on_gpu else ["RSS GiB"]
    for name in (f"{unit}/step", "x", f"encode {unit}", f"decode {unit}", f"clip {unit}", *memory):
        table.add_column(name, justify="right")
    first = next((one.step for one in found if one.step), None)
    for one in found:
        name = flags_of(one.spec, hidden)
        if len(heads) > 1:
            name = label(one.spec).partition(": ")[0] + ": " + name
        table.add_row(name, *_cells(one, first, on_gpu), style="red" if one.status == "failed" else "")
    out.print(table)
    for line, style in dict.fromkeys(_remarks(found, hidden)):
        out.print(Text(f"  {line}", style=style), soft_wrap=True)


def _remarks(found: list[Bench], hidden: frozenset[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    """What ended badly, and how the flags took hold: (line, style)."""
    for one in found:
        if one.error:
            said = f"{one.status} at {one.error['stage']}: {one.error['message']}"
            yield f"{flags_of(one.spec, hidden)}: {said}", "yellow"
        for key, said in one.resolved.items():
            if key.startswith("optimization."):
                yield f"{key.removeprefix('optimization.')}: {said}", "dim"


def _cells(one: Bench, first: float | None, on_gpu: bool) -> list[str]:
    def number(value: float | None, digits: int = 2) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    peak = "oom" if one.status == "oom" else number(one.peak)
    on_card = [
        number(max(one.reserved.values(), default=None)),
        number(max(one.planned.values(), default=None)),
        "-" if one.plan_error is None else f"{one.plan_error:+.0%}",
    ]
    return [
        number(one.step, 3),
        number(None if one.step is None or first is None else one.step / first),
        number(one.encode_seconds),
        number(one.decode_seconds),
        number(one.clip_seconds, 1),
        peak,
        *(on_card if on_gpu else []),
    ]
