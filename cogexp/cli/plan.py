"""`plan`: what a setting would cost, and which settings fit a card. No weights, no GPU."""

from __future__ import annotations

import json
from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from cogexp.cli import tables
from cogexp.cli.requests import requests_of
from cogexp.cli.words import parse_words
from cogexp.launch.logs import show_log_lines
from cogexp.plan import Plan, plan
from cogexp.plan.cards import find
from cogexp.spec import SpecError
from cogexp.system.host_memory import host_memory

SHOWN = 8  # settings that fit, at most


def command(argv: list[str]) -> int:
    """0; a wrong request raises SpecError."""
    own, rest = split_own(argv)
    words = parse_words(rest)
    if words.multirun:
        raise SpecError("plan takes one setting, got -m (a sweep); for example: plan resolution=512x288")
    if not any(word.partition("=")[0] == "device" for word in rest):
        words.overrides.append("device=cuda")  # the costs on a GPU, wherever this is asked
    (request,) = requests_of(words, needs_first_frame=False)
    show_log_lines(request.settings.debug)
    on_gpu = request.settings.device != "cpu"
    card = find(own["gpu"]) if "gpu" in own and on_gpu else _here() if on_gpu else None
    planned = plan(
        request.spec,
        card,
        device=request.settings.device,
        outputs=request.settings.outputs,
        exact=own.get("exact") == "true",
        main_memory=host_memory() if _is_for_this_machine(own, on_gpu) else None,
    )
    if "--json" in own:
        print(json.dumps(planned.to_dict(), allow_nan=False, indent=2))
    else:
        show(planned, request.resolved)
    return 0


def split_own(argv: list[str]) -> tuple[dict[str, str], list[str]]:
    """plan's own words (gpu=, exact=, --json) and the rest, which compose as for a run.

    Raises:
        SpecError: exact is neither true nor false; gpu has no value.
    """
    own: dict[str, str] = {}
    rest = []
    for word in argv:
        key, given, value = word.partition("=")
        if word == "--json" or (key in ("gpu", "exact") and given):
            own[key] = value
        else:
            rest.append(word)
    if (exact := own.get("exact", "false")) not in ("true", "false"):
        nearest = "true" if exact.lower() in ("1", "yes", "on", "y") else "false"
        raise SpecError(f"exact must be true or false, got {exact!r}; nearest: {nearest}")
    if own.get("gpu") == "":
        raise SpecError("gpu must be auto, a size such as 24GB or a card's name, got ''; nearest: auto")
    return own, rest


def _is_for_this_machine(own: Mapping[str, str], on_gpu: bool) -> bool:
    """Whether it would run here: another card is in another machine."""
    return not on_gpu or (own.get("gpu", "auto") == "auto" and _here() is not None)


def _here() -> str | None:
    from cogexp import machine

    return "auto" if machine.gpu() else None


def show(planned: Plan, resolved: Mapping[str, str]) -> None:
    """The plan as tables on stdout."""
    out, spec = tables.console(), planned.spec
    head = Text(
        f"{spec.model.name} {spec.resolution.name}x{spec.resolution.frames} {spec.model.dtype}", style="bold"
    )
    if planned.card:
        verdict = "fits" if planned.fits else "does not fit" if planned.impossible else "is near the limit of"
        style = "green" if planned.fits else "red" if planned.impossible else "yellow"
        head.append(f"  {verdict} ", style=style).append(planned.card.name)
    out.print()
    out.print(head)
    for key, text in resolved.items():
        out.print(Text(f"  {key}: {text}", style="dim"), soft_wrap=True)
    out.print(_by_stage(planned))
    for name, text in _facts(planned):
        out.print(Text(f"  {name:<14} {text}"), soft_wrap=True)
    if planned.warning:
        out.print(Text(f"  {planned.warning}", style="yellow"), soft_wrap=True)
    if planned.device != "cpu":
        _show_suggestions(planned)


def _by_stage(planned: Plan) -> Table:
    table = Table(box=None, header_style="dim")
    table.add_column("stage")
    columns = ["weights GiB", "activations GiB", "peak allocated GiB", "reserved GiB", "TFLOP"]
    for column in [*columns, "seconds"] if planned.seconds else columns:
        table.add_column(column, justify="right")
    for name, stage in planned.stages.items():
        numbers = (stage.weights_gib, stage.activations_gib, stage.peak_allocated_gib, stage.reserved_gib)
        cells = [f"{value:.2f}" for value in numbers]
        cells.append(f"{planned.tflops[name]:,.0f}" if name in planned.tflops else "-")
        if planned.seconds:
            cells.append(f"{planned.seconds[name]:.1f}" if name in planned.seconds else "-")
        style = "bold" if stage.peak_allocated_gib == planned.peak_allocated_gib else ""
        table.add_row(name, *cells, style=style)
    return table


def _facts(planned: Plan) -> list[tuple[str, str]]:
    latent = " x ".join(map(str, planned.latent))
    how = "traced with fake tensors" if planned.traced else "closed forms; exact=true traces"
    peak = f"{planned.peak_allocated_gib:.2f} GiB allocated, {planned.peak_reserved_gib:.2f} GiB reserved"
    facts = [
        ("peak", f"{peak}, and about 0.5 GiB for the CUDA context ({how})"),
        ("tokens", f"{planned.tokens:,}; latent (t, c, h, w) {latent}"),
        ("main memory", _main_memory(planned)),
        ("disk", f"{planned.disk_gib:.1f} GiB of weights"),
    ]
    if planned.seconds:
        note = planned.corrected_by or "a roofline: rough until runs on this card correct it"
        facts.append(("time", f"about {sum(planned.seconds.values()):.0f} s without loading ({note})"))
    return facts


def _main_memory(planned: Plan) -> str:
    needed = f"about {planned.host_gib:.1f} GiB"
    if planned.host is None:
        return needed
    verdict = "fits" if planned.fits_host else "does not fit"
    return f"{needed}: {verdict}, this machine has {planned.host}"


def _show_suggestions(planned: Plan) -> None:
    out = tables.console()
    fitting = f"that fit {planned.card.name}" if planned.card else "with less memory"
    if not planned.suggestions:
        out.print(Text(f"\n  no setting {fitting}: try a smaller size, fewer frames or model=cogvideox-2b"))
        return
    table = Table(
        box=None, header_style="dim", title=f"settings {fitting}, fastest first", title_justify="left"
    )
    for column, side in (
        ("add to the command", "left"),
        ("peak GiB", "right"),
        ("time", "right"),
        ("", "left"),
    ):
        table.add_column(column, justify=side, overflow="fold")
    for found in planned.suggestions[:SHOWN]:
        table.add_row(
            Text(" ".join(found.overrides) or "(as it is)"),
            f"{found.peak_allocated_gib:.1f}",
            f"x {found.relative_time:.2f}",
            Text(found.changes_pixels, style="dim"),
        )
    out.print()
    out.print(table)
