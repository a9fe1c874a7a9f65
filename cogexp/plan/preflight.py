"""Before a run loads anything: can it fit the card at all, and what would make it fit?"""

from __future__ import annotations

from dataclasses import dataclass

from cogexp import machine
from cogexp.plan import cards
from cogexp.plan.fit import Plan, plan
from cogexp.plan.settings import gentlest
from cogexp.spec import RunSpec

MODES = ("refuse", "warn", "off")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A run that is too large for its card, or nearly: what to say, and whether it cannot fit at all."""

    text: str
    impossible: bool


def check(spec: RunSpec, device: str) -> Finding | None:
    """What is wrong with running `spec` on `device`, or None. On a CPU, or without a driver, nothing is."""
    here = machine.gpu() if device.startswith("cuda") else None
    if here is None:
        return None
    planned = plan(spec, cards.of_machine(here))
    if planned.fits:
        return None
    impossible = planned.impossible
    verb = "needs" if impossible else "is near the limit: it needs about"
    peak = f"{planned.peak_allocated_gib:.1f} GiB"
    setting = f"{spec.model.name} at {spec.resolution.name}x{spec.resolution.frames}"
    text = f"{setting} {verb} {peak}, got {_card(planned)}; {remedy(planned)}"
    return Finding(text=text, impossible=impossible)


def remedy(planned: Plan) -> str:
    """The gentlest setting that fits, as words to paste; or that none does."""
    if planned.suggestions:
        best = gentlest(planned.suggestions)
        words = " ".join(best.overrides)
        return f"nearest that fits: {words} ({best.peak_allocated_gib:.1f} GiB)"
    return "no flag makes it fit; nearest: a smaller resolution or fewer frames, or model=cogvideox-2b"


def _card(planned: Plan) -> str:
    assert planned.card is not None
    return f"{planned.card.name} with {planned.card.memory_gib:.1f} GiB"
