"""What runs on this card took, against what the roofline said: the ratio corrects the next plan.

Only finished runs of the same model on a card of the same name count, and only stages that were computed,
not taken from the store.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from cogexp import record as records
from cogexp.catalog import VARIANTS
from cogexp.plan import cards, roofline
from cogexp.plan.cards import Card
from cogexp.spec import OptimizationSpec, RunSpec, SpecError

log = logging.getLogger("cogexp")

STAGES = ("encode", "denoise", "decode")


@dataclass(frozen=True, kw_only=True)
class Correction:
    """Measured over predicted seconds: by stage, and by stage and flags where those were run."""

    by_stage: dict[str, float] = field(default_factory=dict)
    by_flags: dict[tuple[str, OptimizationSpec], float] = field(default_factory=dict)
    runs: int = 0

    def apply(self, spec: RunSpec, seconds: Mapping[str, float]) -> dict[str, float]:
        """Predicted seconds by stage, corrected; those of the same flags count before those of others."""
        return {
            stage: value * self.by_flags.get((stage, spec.optimization), self.by_stage.get(stage, 1.0))
            for stage, value in seconds.items()
        }

    @property
    def said(self) -> str:
        """In words; empty when nothing was measured."""
        return f"times corrected by {self.runs} finished runs on this card" if self.runs else ""


NOTHING = Correction()


def read(outputs: Path, spec: RunSpec, card: Card) -> Correction:
    """The correction that the finished runs below `outputs` give for this model on this card."""
    ratios: dict[str, list[float]] = {}
    flagged: dict[tuple[str, OptimizationSpec], list[float]] = {}
    runs = 0
    for file in sorted((outputs / "runs").glob(f"*/{records.RECORD_FILE}")):
        found = _ratios(file.parent, spec, card)
        runs += bool(found)
        for (stage, flags), ratio in found.items():
            ratios.setdefault(stage, []).append(ratio)
            flagged.setdefault((stage, flags), []).append(ratio)
    return Correction(
        by_stage={stage: median(values) for stage, values in ratios.items()},
        by_flags={key: median(values) for key, values in flagged.items()},
        runs=runs,
    )


def _ratios(folder: Path, spec: RunSpec, card: Card) -> dict[tuple[str, OptimizationSpec], float]:
    try:
        record = records.read(folder, per_frame=False)
    except (records.RecordError, OSError) as error:
        log.debug("not used for the plan: %s", error)
        return {}
    if record.status != "ok" or record.spec.get("model", {}).get("name") != spec.model.name:
        return {}
    name = record.device.get("gpu")
    if not name or not _same_card(str(name), card):
        return {}
    try:
        ran = RunSpec.from_dict(record.spec)
    except SpecError as error:
        log.debug("not used for the plan: %s", error)
        return {}
    predicted = roofline.seconds(ran, VARIANTS[ran.model.name], card)
    found = {}
    for stage in STAGES:
        cost = record.stages.get(stage)
        if cost and not cost.get("cached") and cost["seconds"] > 0 and predicted[stage] > 0:
            found[stage, ran.optimization] = cost["seconds"] / predicted[stage]
    return found


def _same_card(name: str, card: Card) -> bool:
    """The same name, or the same entry of the table."""
    known = cards.by_name(name)
    return name == card.name or (known is not None and known == cards.by_name(card.name))
