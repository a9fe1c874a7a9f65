"""The plan of one setting: `plan(spec, gpu)`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cogexp.catalog import VARIANTS
from cogexp.plan import cards, compute, host, measured, memory, roofline
from cogexp.plan.cards import Card
from cogexp.plan.memory import StageMemory
from cogexp.plan.settings import Suggestion, suggestions
from cogexp.rules import decode_problem
from cogexp.spec import RunSpec, SpecError
from cogexp.system import requirements
from cogexp.system.host_memory import HostMemory


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a setting costs. Times are None without a card; `traced`: activations are no closed forms."""

    spec: RunSpec
    card: Card | None
    device: str
    stages: dict[str, StageMemory]
    tflops: dict[str, float]
    tokens: int
    latent: tuple[int, int, int, int]
    seconds: dict[str, float] | None
    disk_gib: float
    host_gib: float
    suggestions: list[Suggestion] = field(default_factory=list)
    corrected_by: str = ""
    traced: bool = False
    host: HostMemory | None = None  # this machine's, where it is the one that will run it

    @property
    def peak_allocated_gib(self) -> float:
        """The largest stage."""
        return max(stage.peak_allocated_gib for stage in self.stages.values())

    @property
    def peak_reserved_gib(self) -> float:
        """What the allocator takes from the driver, without the CUDA context (about half a GiB)."""
        return max(stage.reserved_gib for stage in self.stages.values())

    @property
    def fits(self) -> bool | None:
        """With some ease on the card; None without a card."""
        return None if self.card is None else self.peak_allocated_gib <= self.card.usable_gib

    @property
    def impossible(self) -> bool:
        """More than the card has."""
        return self.card is not None and self.peak_allocated_gib > self.card.limit_gib

    @property
    def fits_host(self) -> bool | None:
        """Whether main memory suffices; None where it is not known."""
        return None if self.host is None else self.host_gib <= self.host.available_gib

    @property
    def warning(self) -> str:
        """What speaks against the setting beside memory; empty when nothing does."""
        if problem := decode_problem(self.spec):
            return problem
        if self.card and not self.card.bfloat16 and self.spec.model.dtype == "bfloat16":
            return (
                f"{self.card.name} computes no bfloat16: slow, and memory may differ; try model.dtype=float16"
            )
        return ""

    def to_dict(self) -> dict[str, Any]:
        """What `plan --json` prints."""
        size = self.spec.resolution
        stages = {
            name: {
                "weights_gib": round(stage.weights_gib, 3),
                "activations_gib": round(stage.activations_gib, 3),
                "peak_allocated_gib": round(stage.peak_allocated_gib, 3),
                "peak_reserved_gib": round(stage.reserved_gib, 3),
            }
            for name, stage in self.stages.items()
        }
        return {
            "model": self.spec.model.name,
            "width": size.width,
            "height": size.height,
            "frames": size.frames,
            "dtype": self.spec.model.dtype,
            "stages": stages,
            "peak_allocated_gib": round(self.peak_allocated_gib, 3),
            "peak_reserved_gib": round(self.peak_reserved_gib, 3),
            "tflops": {stage: round(value, 3) for stage, value in self.tflops.items()},
            "tokens": self.tokens,
            "latent": list(self.latent),
            "fits": self.fits,
            "gpu": None
            if self.card is None
            else {"name": self.card.name, "gib": round(self.card.memory_gib, 1)},
            "seconds": self.seconds and {stage: round(value, 2) for stage, value in self.seconds.items()},
            "disk_gib": round(self.disk_gib, 2),
            "host_gib": round(self.host_gib, 2),
            "host": {
                "needed_gib": round(self.host_gib, 2),
                "available_gib": self.host and round(self.host.available_gib, 2),
                "total_gib": self.host and round(self.host.total_gib, 2),
                "fits": self.fits_host,
            },
            "traced": self.traced,
            "warning": self.warning,
            "suggestions": [
                {
                    "overrides": list(found.overrides),
                    "peak_allocated_gib": round(found.peak_allocated_gib, 3),
                    "peak_reserved_gib": round(found.peak_reserved_gib, 3),
                    "relative_time": round(found.relative_time, 3),
                    "changes_pixels": found.changes_pixels,
                    "host_gib": round(found.host_gib, 2),
                }
                for found in self.suggestions
            ],
        }


def plan(
    spec: RunSpec,
    gpu: str | Card | None = None,
    *,
    device: str = "cuda",
    outputs: Path | None = None,
    exact: bool = False,
    main_memory: HostMemory | None = None,
) -> Plan:
    """What `spec` costs, and which settings fit `gpu` (a card, or a text as in gpu=...; None: any).

    With `outputs`, times are corrected by the finished runs in it. With `exact`, activations come from a
    trace with fake tensors (needs torch, takes up to a minute). `main_memory`: that of the machine that will
    run it, to compare with.

    Raises:
        SpecError: `gpu` is nothing known; `exact` with a torch that cannot trace.
    """
    if exact and (problem := requirements.problem("exact=true")):
        raise SpecError(problem)
    variant, size = VARIANTS[spec.model.name], spec.resolution
    card = cards.find(gpu) if isinstance(gpu, str) else gpu
    stages = memory.stages(spec, variant)
    if exact:
        from cogexp.plan import exact as tracing

        stages |= {
            name: memory.with_activations(spec, variant, name, activations)
            for name, activations in tracing.activations(spec, variant).items()
        }
    correction = measured.read(outputs, spec, card) if outputs and card else measured.NOTHING
    return Plan(
        spec=spec,
        card=card,
        device=device,
        stages=stages,
        tflops=compute.tflop(spec, variant),
        tokens=compute.tokens(variant, size.width, size.height, size.frames),
        latent=compute.latent_shape(variant, size.width, size.height, size.frames),
        seconds=correction.apply(spec, roofline.seconds(spec, variant, card)) if card else None,
        disk_gib=memory.disk_gib(variant),
        host_gib=host.host_gib(spec, variant, device),
        suggestions=suggestions(spec, card, correction) if device != "cpu" else [],
        corrected_by=correction.said,
        traced=exact,
        host=main_memory,
    )
