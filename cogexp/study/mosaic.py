"""Which clip stands where in a mosaic: two dimensions are spread, all others are held at one stated value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from cogexp.record import Record
from cogexp.spec import SpecError
from cogexp.storage.run_files import inside
from cogexp.study.pick import Choice
from cogexp.study.rows import Row
from cogexp.study.table import Study
from cogexp.study.words import digits, plain

if TYPE_CHECKING:
    from cogexp.study.pick import TableRow

CLIP = "clip"
SIDES = ("delivered", "native")
Found = Sequence[tuple[Row, Record, Path]]


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One place: the clip and what is written below it, or why there is none."""

    file: Path | None = None
    caption: str = ""
    warning: str = ""
    missing: str = ""


@dataclass(frozen=True, kw_only=True)
class Mosaic:
    """What is drawn. `tiles[r][c]` belongs to `rows[r]`, `columns[c]`; `held` is what is the same in all."""

    row_name: str
    column_name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    tiles: tuple[tuple[Tile, ...], ...]
    held: dict[str, str]
    text: str
    verdict: str


def dimensions(study: Study) -> dict[str, tuple[str, ...]]:
    """What may be spread, with its values in order: varying axes, prompt, seed; clip where one upscales."""
    found = {name: _values(study, name) for name in (*study.varying, "prompt", "seed")}
    found = {name: values for name, values in found.items() if len(values) > 1}
    if any(row.delivered == "upscaled" for row in study.rows):
        found[CLIP] = SIDES
    return found


def _values(study: Study, name: str) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(_value(row, name) for row in sorted(study.rows, key=lambda row: _rank(row, name)))
    )


def _rank(row: Row, name: str) -> tuple[object, ...]:
    """none before what does something, numbers and sizes by their size, words by the alphabet."""
    value = _value(row, name)
    if name == "resolution" and "width" in row.axes:
        return (1, row.axes["width"], row.axes.get("height", 0), value)
    if value in ("none", "false", "null"):
        return (0, 0.0, 0.0, value)
    number = row.seed if name == "seed" else row.axes.get(name)
    return (1, float(number), 0.0, value) if isinstance(number, (int, float)) else (2, 0.0, 0.0, value)


def _value(row: Row, name: str) -> str:
    if name in ("prompt", "seed"):
        return plain(getattr(row, name))
    return plain(row.axes.get(name))


def check_names(study: Study, names: Sequence[str], held: Mapping[str, str]) -> None:
    """Raise SpecError unless there are two different dimensions and `held` names others with their values."""
    known = dimensions(study)
    if len(names) != 2 or names[0] == names[1]:
        raise SpecError(
            f"--grid takes two different axes (rows, columns), got {', '.join(names) or 'none'}; "
            f"there are: {', '.join(known)}; a third is held with NAME=VALUE"
        )
    for name in (*names, *held):
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"; nearest: {near[0]}" if near else ""
            raise SpecError(
                f"--grid spreads what differs between runs: {', '.join(known)}; got {name!r}{hint}"
            )
    for name, value in held.items():
        if name in names:
            raise SpecError(f"{name} is spread over the grid, so it cannot be held at {value!r}")
        if value not in known[name]:
            near = get_close_matches(value, known[name], n=1, cutoff=0.0)
            raise SpecError(
                f"{name} must be one of {', '.join(known[name])}, got {value!r}; nearest: {near[0]}"
            )


def arrange(
    study: Study, found: Found, choice: Choice | None, names: Sequence[str], held: Mapping[str, str]
) -> Mosaic:
    """Rows and columns of clips. What is not spread and not held by the caller is chosen and stated.

    An axis takes the leader's value, prompt and seed are those with the most clips, the clip is what the
    setting delivers.

    Raises:
        SpecError: unknown names or values.
    """
    check_names(study, names, held)
    known = dimensions(study)
    rest = {name: values for name, values in known.items() if name not in names}
    leader = (choice.recommended if choice else None) or {}
    fixed = {
        name: held.get(name) or (plain(leader[name]) if name in leader else values[0])
        for name, values in rest.items() if name not in ("prompt", "seed")
    }  # fmt: skip
    fixed |= _shown(found, rest, held, fixed)
    tiles = tuple(
        tuple(_tile(found, choice, {**fixed, names[0]: row, names[1]: column}) for column in known[names[1]])
        for row in known[names[0]]
    )
    prompts = {row.prompt: row.text for row in study.rows}
    prompt = fixed.get("prompt") or (next(iter(prompts)) if len(prompts) == 1 else "")
    return Mosaic(
        row_name=names[0],
        column_name=names[1],
        rows=known[names[0]],
        columns=known[names[1]],
        tiles=tiles,
        held={
            name: fixed[name] for name in known if name in fixed and (name, fixed[name]) != (CLIP, SIDES[0])
        },
        text=prompts.get(prompt, "").partition("\n")[0],
        verdict=choice.sentence if choice else "",
    )


def _shown(
    found: Found, rest: Mapping[str, Sequence[str]], held: Mapping[str, str], fixed: Mapping[str, str]
) -> dict[str, str]:
    """The prompt and seed, of those that are free, with the most clips; the first of equals."""
    free = [name for name in ("prompt", "seed") if name in rest]
    options: list[tuple[str, ...]] = [tuple(_value(row, name) for name in free) for row, _, _ in found]
    options = [
        option for option in dict.fromkeys(sorted(options))
        if all(held.get(name, value) == value for name, value in zip(free, option, strict=True))
    ]  # fmt: skip

    def clips(option: tuple[str, ...]) -> int:
        wanted = {**fixed, **dict(zip(free, option, strict=True))}
        return sum(row.status == "ok" and _fits(row, wanted) for row, _, _ in found)

    if not options:  # values that exist, but never together: the grid says "not run"
        return {name: held.get(name, rest[name][0]) for name in free}
    most = max(options, key=clips)
    return dict(zip(free, most, strict=True))


def _fits(row: Row, wanted: Mapping[str, str]) -> bool:
    return all(name == CLIP or _value(row, name) == value for name, value in wanted.items())


def _tile(found: Found, choice: Choice | None, wanted: Mapping[str, str]) -> Tile:
    item = next((item for item in found if _fits(item[0], wanted)), None)
    if item is None:
        return Tile(missing="not run")
    row, record, home = item
    side = "native" if wanted.get(CLIP) == "native" else row.delivered
    if row.status != "ok":
        return Tile(missing=f"{row.status}: {row.error or 'no reason was recorded'}")
    file = inside(home, record.files[side]) if side in record.files else None
    if file is None:
        return Tile(missing=f"its {side} clip is gone")
    level = (row.artifacts.get(side) or {}).get("level")
    kind = (row.artifacts.get(side) or {}).get("kind")
    warning = f"{level} {kind or ''}".strip() if level not in (None, "none") else ""
    return Tile(file=file, caption=_caption(row, choice, side), warning=warning)


def _caption(row: Row, choice: Choice | None, side: str) -> str:
    """'clip_score 27.10 (mean 26.80 of 6) · 12.10 s · 8.00 GiB'."""
    parts = []
    if choice is not None:
        bare = choice.objective.partition("/")[2] or choice.objective
        value = row.scores.get(f"{side}/{bare}")
        setting = _setting(row, choice)
        mean = ""
        if setting is not None and side == row.delivered:
            estimate, runs = setting.metrics[choice.objective]
            mean = f" (mean {digits(estimate.mean)} of {runs})" if runs > 1 else ""
        if value is not None:
            parts.append(f"{bare} {digits(value)}{mean}")
    for name, unit in (("seconds", "s"), ("peak_allocated_gib", "GiB")):
        if row.costs.get(name) is not None:
            parts.append(f"{digits(row.costs[name])} {unit}")
    return " · ".join(parts)


def _setting(row: Row, choice: Choice) -> TableRow | None:
    return next(
        (
            item
            for item in choice.table
            if all(row.axes.get(name) == value for name, value in item.axes.items())
        ),
        None,
    )
