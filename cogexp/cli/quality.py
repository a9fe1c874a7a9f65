"""`quality`: what approximations change, in pairs of runs from the same prompt and seed."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

from rich.table import Table
from rich.text import Text

from cogexp.build import Request
from cogexp.cli import tables
from cogexp.cli.requests import requests_of
from cogexp.cli.runs import preflight, show_log_lines
from cogexp.cli.words import parse_words
from cogexp.launch.execute import execute, run_folder
from cogexp.quality import Cost, Pair, cost_of, difference, frames_of, pairs
from cogexp.record import Record, is_done
from cogexp.run import rehearse
from cogexp.spec import SpecError
from cogexp.system import interrupts
from cogexp.terminal import Progress, for_stderr

COLUMNS = ("pairs", "x faster", "GiB", "saves GiB", "PSNR dB", "SSIM", "LPIPS", "clip_score", "change")


def command(argv: list[str]) -> int:
    """0; 1 when a run failed. A wrong request raises SpecError."""
    rest = [word for word in argv if word not in ("--json", "--markdown")]
    if "--json" in argv and "--markdown" in argv:
        raise SpecError("quality prints one format, got --json and --markdown; nearest: --json")
    if not any(word.startswith("metrics") for word in rest):
        rest = [*rest, "metrics.names=clip_score"]
    if not {"-m", "--multirun"} & set(rest):
        rest = ["-m", *rest]
    requests = requests_of(parse_words(rest))
    found = pairs(request.spec for request in {r.spec.run_id: r for r in requests}.values())
    if not found:
        raise SpecError(
            "quality compares approximations with the exact run, got settings without any; "
            "nearest: optimization=pab, or sampler.steps=50,30"
        )
    by_id = {request.spec.run_id: request for request in requests}
    everything = {s.run_id: _request(by_id, s) for pair in found for s in (pair.exact, pair.approximate)}
    show_log_lines(requests[0].settings.debug)
    progress = for_stderr()
    preflight(list(everything.values()), progress)
    interrupts.install()
    costs = _measure(found, everything, progress)
    if "--json" in argv:
        print(json.dumps([cost.to_dict() for cost in costs], allow_nan=False, indent=2))
    elif "--markdown" in argv:
        print(markdown(costs))
    else:
        show(costs)
    return int(any(cost.failed for cost in costs))


def _request(by_id: dict[str, Request], spec: object) -> Request:
    """The request of a spec that was asked for, or that of its twin with another spec."""
    like = next(iter(by_id.values()))
    return by_id.get(spec.run_id) or replace(like, spec=spec)  # type: ignore[attr-defined, arg-type]


def _measure(found: list[Pair], requests: dict[str, Request], progress: Progress) -> list[Cost]:
    """Run what is not done, exact twins first, and compare the clips."""
    records: dict[str, Record] = {}
    rehearsed: set[tuple[object, ...]] = set()
    for number, (run_id, request) in enumerate(requests.items(), 1):
        progress.say(f"[{number}/{len(requests)}] {run_id}")
        size = (request.spec.model, request.spec.resolution)
        if size not in rehearsed and (request.settings.force or not is_done(run_folder(request))):
            rehearsed.add(size)
            with suppress(Exception), progress.stage("warm up", None):  # the run fails alike, and records it
                rehearse(request.spec, device=request.settings.device)
        records[run_id] = execute(request, progress)
    by_setting: dict[str, list[Pair]] = {}
    for pair in found:
        by_setting.setdefault(pair.key, []).append(pair)
    costs = []
    for group in by_setting.values():
        compared = []
        for pair in group:
            mine, exact = records[pair.approximate.run_id], records[pair.exact.run_id]
            delta = None
            if mine.status == exact.status == "ok":
                request = requests[pair.approximate.run_id]
                store = request.settings.outputs / "store"
                frames, wanted = (
                    frames_of(record, run_folder(requests[record.run_id]), store) for record in (mine, exact)
                )
                delta = difference(frames, wanted, request.settings.device)
            compared.append((pair, mine, exact, delta))
        costs.append(cost_of(compared))
    return costs


def rows(costs: list[Cost]) -> list[list[str]]:
    """A line a setting: its name and the columns."""

    def number(value: float | None, digits: int = 2, sign: str = "") -> str:
        return "-" if value is None else f"{value:{sign}.{digits}f}"

    lines = []
    several = len({(cost.model, cost.resolution) for cost in costs}) > 1
    for cost in costs:
        both = cost.memory_gib is not None and cost.memory_exact_gib is not None
        saved = cost.memory_exact_gib - cost.memory_gib if both else None  # type: ignore[operator]
        same = cost.pairs > 0 and cost.identical == cost.pairs
        lines.append(
            [
                f"{cost.model} {cost.resolution}: {cost.setting}" if several else cost.setting,
                str(cost.pairs),
                number(cost.speedup),
                number(cost.memory_gib),
                number(saved),
                "identical" if same else number(cost.psnr, 1),
                number(cost.ssim, 4),
                number(cost.lpips, 4),
                number(cost.clip_score),
                number(cost.clip_score_delta, sign="+"),
            ]
        )
    return lines


def show(costs: list[Cost]) -> None:
    """The table on stdout; below it what was skipped, what failed, and how the flags took hold."""
    out = tables.console()
    out.print()
    sizes = sorted({f"{cost.model} {cost.resolution}" for cost in costs})
    out.print(Text(f"{', '.join(sizes)}: against the exact run from the same seed", "bold"))
    table = Table(box=None, header_style="dim")
    table.add_column("setting", overflow="fold")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for cost, line in zip(costs, rows(costs), strict=True):
        table.add_row(*line, style="red" if cost.failed else "")
    out.print(table)
    for remark, style in dict.fromkeys(_remarks(costs)):
        out.print(Text(f"  {remark}", style=style), soft_wrap=True)


def _remarks(costs: list[Cost]) -> list[tuple[str, str]]:
    lines = [(f"{name}: {why}", "yellow") for cost in costs for name, why in cost.skipped.items()]
    lines += [(f"{run_id}: {why}", "red") for cost in costs for run_id, why in cost.failed.items()]
    lines += [
        (f"{key.removeprefix('optimization.')}: {text}", "dim")
        for cost in costs
        for key, text in cost.took_hold.items()
    ]
    return lines


def markdown(costs: list[Cost]) -> str:
    """The same table in Markdown."""
    lines = [
        "| setting | " + " | ".join(COLUMNS) + " |",
        "| --- |" + " ---: |" * len(COLUMNS),
        *("| " + " | ".join(line) + " |" for line in rows(costs)),
    ]
    remarks = [f"{text}" for text, style in dict.fromkeys(_remarks(costs)) if style != "dim"]
    return "\n".join([*lines, *(["", *remarks] if remarks else [])])
