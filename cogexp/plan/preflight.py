"""Before a run loads anything: can it fit the card and main memory at all, and what would make it fit?"""

from __future__ import annotations

from dataclasses import dataclass

from cogexp import machine
from cogexp.catalog import VARIANTS
from cogexp.plan import cards, host
from cogexp.plan.cards import Card
from cogexp.plan.fit import Plan, plan
from cogexp.plan.settings import gentlest
from cogexp.spec import RunSpec
from cogexp.system import host_memory

MODES = ("refuse", "warn", "off")
EASE = 0.9  # of main memory: what needs more is near the limit


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A run that is too large for its machine, or nearly: what to say, and whether it cannot fit at all."""

    text: str
    impossible: bool


@dataclass(frozen=True, kw_only=True)
class HostRoom:
    """Main memory that one run may take, in GiB, and whose it is in words: '22.7 GiB available of ...'."""

    gib: float
    words: str


def check(spec: RunSpec, device: str, room: HostRoom | None = None) -> Finding | None:
    """What is wrong with running `spec` on `device`, or None: the card first, then main memory.

    room: the main memory of the machine that will run it; default: this machine's. Without a driver nothing
    is known of a card.
    """
    here = machine.gpu() if device.startswith("cuda") else None
    card = cards.of_machine(here) if here is not None else None
    found = [_on_card(spec, card) if card else None, check_host(spec, device, room)]
    wrong = [one for one in found if one is not None]
    return min(wrong, key=lambda one: not one.impossible, default=None)


def check_host(spec: RunSpec, device: str, room: HostRoom | None = None) -> Finding | None:
    """What is wrong with the main memory that `spec` takes, or None."""
    room = room or here()
    needed = host.host_gib(spec, VARIANTS[spec.model.name], device)
    if needed <= EASE * room.gib:
        return None
    impossible = needed > room.gib
    verb = "needs" if impossible else "is near the limit: it needs about"
    where = "on a CPU" if device == "cpu" else "beside the GPU"
    gpu = machine.gpu() if device.startswith("cuda") else None
    limit = room.gib if impossible else EASE * room.gib
    words = host.remedy(spec, device, cards.of_machine(gpu) if gpu else None, limit)
    text = f"{_setting(spec)} {verb} {needed:.1f} GiB of main memory {where}, got {room.words}; {words}"
    return Finding(text=text, impossible=impossible)


def here() -> HostRoom:
    """The main memory that this process may take, with what it holds already."""
    found = host_memory.host_memory()
    return HostRoom(gib=found.available_gib + host_memory.own_resident_gib(), words=str(found))


def remedy(planned: Plan) -> str:
    """The gentlest setting that fits, as words to paste; or that none does."""
    if planned.suggestions:
        best = gentlest(planned.suggestions)
        words = " ".join(best.overrides)
        return f"nearest that fits: {words} ({best.peak_allocated_gib:.1f} GiB)"
    return "no flag makes it fit; nearest: a smaller resolution or fewer frames, or model=cogvideox-2b"


def _on_card(spec: RunSpec, card: Card) -> Finding | None:
    planned = plan(spec, card)
    if planned.fits:
        return None
    verb = "needs" if planned.impossible else "is near the limit: it needs about"
    peak = f"{planned.peak_allocated_gib:.1f} GiB"
    got = f"{card.name} with {card.memory_gib:.1f} GiB"
    text = f"{_setting(spec)} {verb} {peak}, got {got}; {remedy(planned)}"
    return Finding(text=text, impossible=planned.impossible)


def _setting(spec: RunSpec) -> str:
    return f"{spec.model.name} at {spec.resolution.name}x{spec.resolution.frames}"
