"""Which keys the runs of a study have in W&B: what a panel may refer to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cogexp.record import Record
from cogexp.tracking import payload

TABLE_KEY = "study/runs"


@dataclass(frozen=True, kw_only=True)
class Logged:
    """Keys by where W&B keeps them; `varying` are the keys of the config with more than one value."""

    config: frozenset[str] = frozenset()
    varying: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    curves: frozenset[str] = frozenset()
    media: frozenset[str] = frozenset()

    def present(self, keys: Iterable[str]) -> list[str]:
        """Those of `keys` that are numbers in the runs' summaries, in their order."""
        return [key for key in keys if key in self.numbers]


def logged_by(records: Iterable[Record]) -> Logged:
    """The keys that the tracker logs for these records."""
    configs: dict[str, set[str]] = {}
    numbers: set[str] = set()
    curves: set[str] = set()
    media: set[str] = set()
    for record in records:
        for key, value in payload.config(record.spec).items():
            if key != "spec":
                configs.setdefault(key, set()).add(repr(value))
        numbers |= set(payload.numbers(record))
        curves |= {key for row in payload.curves(record) for key in row if key != "frame"}
        media |= set(payload.media(record))
    return Logged(
        config=frozenset(configs),
        varying=frozenset(key for key, values in configs.items() if len(values) > 1),
        numbers=frozenset(numbers),
        curves=frozenset(curves),
        media=frozenset(media),
    )
