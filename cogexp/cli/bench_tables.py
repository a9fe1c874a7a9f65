"""What `bench` measured, as a table in the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from cogexp.bench import Bench
from cogexp.cli import tables
from cogexp.spec import RunSpec

COLUMNS = (
    "flags", "a step, s", "x", "encode, s", "decode, s", "clip, s", "x", "peak GiB", "reserved", "plan",
    "plan off by",
)  # fmt: skip


def label(spec: dict[str, Any]) -> str:
    """'cogvideox-5b 512x288x49 bfloat16: offload=model, vae_tiling=edge'."""
    size = spec["resolution"]
    head = (
        f"{spec['model']['name']} {size['width']}x{size['height']}x{size['frames']} {spec['model']['dtype']}"
    )
    return f"{head}: {flags_of(spec)}"


def flags_of(spec: dict[str, Any], without: frozenset[tuple[str, Any]] = frozenset()) -> str:
    """The flags that are set, but for those in `without`; or 'none'."""
    shown = [f"{k}={str(v).lower()}" for k, v in _changed(spec).items() if (k, v) not in without]
    return ", ".join(shown) or "none"


def _changed(spec: dict[str, Any]) -> dict[str, bool | str]:
    """The flags of a recorded spec that are not at their defaults, without those of a later version."""
    return RunSpec.from_dict(spec).optimization.changed()


def summary(one: Bench) -> str:
    """One measurement in a line."""
    if one.error:
        return f"{one.status} at {one.error['stage']}: {one.error['message']}"
    plan = "" if one.plan_error is None else f", plan off by {one.plan_error:+.1%}"
    return (
        f"{one.step or 0:.3f} s/step, clip {one.clip_seconds or 0:.1f} s, peak {one.peak or 0:.2f} GiB{plan}"
    )


def show(found: list[Bench]) -> None:
    """The table on stdout, and below it what took hold how."""
    out = tables.console()
    on_gpu = "gpu" in found[0].device
    where = found[0].device.get("gpu") or f"{found[0].device.get('cpu', 'unknown')} (CPU)"
    versions = found[0].versions
    common = frozenset.intersection(*(frozenset(_changed(one.spec).items()) for one in found))
    heads = {_head(one) for one in found}
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
    plain = references(found)
    for one in found:
        name = flags_of(one.spec, hidden)
        if len(heads) > 1:
            name = _head(one) + ": " + name
        table.add_row(
            name, *_cells(one, plain[_head(one)].step, on_gpu), style="red" if one.status == "failed" else ""
        )
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


def _head(one: Bench) -> str:
    return label(one.spec).partition(": ")[0]


def references(found: list[Bench]) -> dict[str, Bench]:
    """By model, size and dtype what the others are compared with: no flags, else the first with a result."""
    chosen: dict[str, Bench] = {}
    for one in sorted(found, key=lambda one: (flags_of(one.spec) != "none", one.step is None)):
        chosen.setdefault(_head(one), one)
    return chosen


def markdown(found: list[Bench]) -> str:
    """A table a model and size, the fastest clip first, under a line of card and versions."""
    plain, lines = references(found), []
    for head, reference in plain.items():
        where = reference.device.get("gpu") or f"{reference.device.get('cpu', 'unknown')} (CPU)"
        names = ("torch", "diffusers", "transformers")
        versions = ", ".join(f"{name} {reference.versions.get(name)}" for name in names)
        lines += [f"**{head}**, {reference.spec['model']['weights']} weights ({where}, {versions})", ""]
        lines += ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
        rows = [one for one in found if _head(one) == head]
        rows.sort(key=lambda one: (one.clip_seconds is None, one.clip_seconds))
        lines += ["| " + " | ".join(_row(one, reference)) + " |" for one in rows]
        lines.append("")
    return "\n".join(lines)


def _row(one: Bench, reference: Bench) -> list[str]:
    def times(mine: float | None, its: float | None) -> str:
        return "-" if mine is None or not its else f"{mine / its:.2f}"

    cells = _cells(one, reference.step, True)
    clip = [cells[4], times(one.clip_seconds, reference.clip_seconds)]
    flags = ", ".join(f"`{word}`" for word in flags_of(one.spec).split(", "))
    return [flags, *cells[:4], *clip, *cells[5:]]
