"""GPUs by name: memory, dense 16-bit tensor throughput, memory and bus bandwidth, by the vendors.

TFLOP/s are dense (no sparsity) with 32-bit accumulation: bfloat16 from Ampere on, float16 before. GeForce
figures are those of the architecture whitepapers (Ampere GA102, Ada, Blackwell); data-centre figures those of
the product datasheets. `efficiency` is the share of them that CogVideoX reaches where latencies are published
(diffusers-torchao: 5b, 50 steps of 720x480x49 in 243.3 s on an A100 and 112.4 s on an H100) or were measured
(H200: 0.592 s a step at 512x288x49, 1.811 s at 720x480x49; docs/performance.md), else a guess. `compiled` is
what torch.compile gains by the same sources (A100 243.3 -> 212.0 s, H100 112.4 -> 87.5 s, H200 0.592 -> 0.415
s a step), elsewhere the A100's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches

from cogexp import machine
from cogexp.spec import SpecError


@dataclass(frozen=True, kw_only=True)
class Card:
    """One GPU. Memory in GiB, throughput in TFLOP/s, bandwidth in GB/s."""

    name: str
    memory_gib: float
    tflops: float
    fp32_tflops: float
    memory_gbps: float
    bus_gbps: float  # what host-to-device copies reach from pinned memory
    efficiency: float = 0.4
    compiled: float = 1.15
    bfloat16: bool = True

    @property
    def usable_gib(self) -> float:
        """What a run may allocate with some ease: a tenth and half a GiB stay for context and fragments."""
        return 0.9 * self.memory_gib - 0.5

    @property
    def limit_gib(self) -> float:
        """What no run can exceed: all but the CUDA context."""
        return self.memory_gib - 0.5


def _card(name: str, memory: float, tflops: float, fp32: float, memory_gbps: float, bus: float) -> Card:
    return Card(
        name=name, memory_gib=memory, tflops=tflops, fp32_tflops=fp32, memory_gbps=memory_gbps, bus_gbps=bus
    )


PCIE3, PCIE4, PCIE5 = 12.0, 24.0, 48.0

CARDS: dict[str, Card] = {
    card.name: card
    for card in (
        _card("RTX 3060", 12, 25.6, 12.7, 360, PCIE4),
        _card("RTX 3080", 10, 59.5, 29.8, 760, PCIE4),
        _card("RTX 3090", 24, 71, 35.6, 936, PCIE4),
        _card("RTX 4060", 8, 30.2, 15.1, 272, PCIE4 / 2),
        _card("RTX 4060 Ti", 16, 44.1, 22.1, 288, PCIE4 / 2),
        _card("RTX 4070", 12, 58.3, 29.1, 504, PCIE4),
        _card("RTX 4080", 16, 97.5, 48.7, 717, PCIE4),
        _card("RTX 4090", 24, 165.2, 82.6, 1008, PCIE4),
        _card("RTX 5070 Ti", 16, 87.9, 43.9, 896, PCIE5),
        _card("RTX 5080", 16, 112.6, 56.3, 960, PCIE5),
        _card("RTX 5090", 32, 209.5, 104.8, 1792, PCIE5),
        _card("RTX A6000", 48, 154.8, 38.7, 768, PCIE4),
        _card("RTX 6000 Ada", 48, 364.2, 91.1, 960, PCIE4),
        replace(_card("T4", 15, 65, 8.1, 320, PCIE3), bfloat16=False),
        replace(_card("V100", 16, 125, 15.7, 900, PCIE3), bfloat16=False),
        _card("A10", 24, 125, 31.2, 600, PCIE4),
        _card("L4", 24, 121, 30.3, 300, PCIE4),
        _card("A40", 48, 149.7, 37.4, 696, PCIE4),
        _card("L40S", 48, 362, 91.6, 864, PCIE4),
        replace(_card("A100", 80, 312, 19.5, 2039, PCIE4), efficiency=0.44),
        replace(_card("A100 40GB", 40, 312, 19.5, 1555, PCIE4), efficiency=0.44),
        replace(_card("H100", 80, 989, 67, 3350, PCIE5), efficiency=0.30, compiled=1.28),
        replace(_card("H100 PCIe", 80, 756, 51, 2000, PCIE5), efficiency=0.35),
        replace(_card("H200", 141, 989, 67, 4800, PCIE5), efficiency=0.36, compiled=1.42),
        replace(_card("B200", 180, 2250, 80, 8000, PCIE5), efficiency=0.25),
    )
}


def find(asked: str) -> Card | None:
    """The card of `gpu=...`: none, auto (this machine's), a size such as 24GB, or a name.

    Raises:
        SpecError: nothing of that; names the nearest.
    """
    text = asked.strip()
    if text.lower() == "none":
        return None
    if text.lower() == "auto":
        here = machine.gpu()
        if here is None:
            raise SpecError("gpu=auto needs an NVIDIA GPU here, found none; for example: gpu=24GB")
        return of_machine(here)
    if size := re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:gi?b?)?", text, flags=re.IGNORECASE):
        return of_size(float(size[1]))
    if card := by_name(text):
        return card
    words = {_plain(name): name for name in CARDS}
    near = get_close_matches(_plain(text), [*words, "auto", "none"], n=1, cutoff=0.4)
    nearest = words.get(near[0], near[0]) if near else "24GB"
    raise SpecError(
        f"gpu must be auto, none, a size such as 24GB, or one of {', '.join(CARDS)}, got {asked!r}; "
        f"nearest: {nearest}"
    )


def of_machine(here: machine.Gpu) -> Card:
    """The card in this machine: its own memory, and the table's figures where its name is known."""
    known = by_name(here.name)
    if known is None:
        return replace(of_size(here.total_gib), name=here.name)
    return replace(known, name=here.name, memory_gib=here.total_gib)


def of_size(memory_gib: float) -> Card:
    """A card of this memory, as fast as the one in the table that is nearest in size (the faster of equals).

    Raises:
        SpecError: no memory that a GPU has.
    """
    if not 1 <= memory_gib <= 1024:
        nearest = 1 if memory_gib < 1 else 1024
        raise SpecError(f"gpu must be from 1GB to 1024GB, got {memory_gib:g}GB; nearest: {nearest}GB")
    like = min(CARDS.values(), key=lambda card: (abs(card.memory_gib - memory_gib), -card.tflops))
    name = f"{memory_gib:g} GiB (as fast as {like.name})"
    return replace(like, name=name, memory_gib=memory_gib)


def by_name(name: str) -> Card | None:
    """The longest name of the table whose words begin or are in `name` ('NVIDIA A100-SXM4-80GB': A100)."""
    plain = re.sub(r"\b(rtx|gtx)(?=\d)", r"\1 ", _plain(name))  # 'rtx4090' is two words
    found = [
        card for card in CARDS.values() if re.search(rf"(?<!\w){re.escape(_plain(card.name))}(?!\w)", plain)
    ]
    return max(found, key=lambda card: len(card.name)) if found else None


def _plain(name: str) -> str:
    """Lower case, single blanks, without the vendor's words."""
    words = re.sub(r"[^a-z0-9]+", " ", name.lower())
    return re.sub(r"\b(nvidia|geforce|tesla|quadro)\b", "", words).strip()
