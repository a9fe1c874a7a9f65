"""What runs on this card took, against what the roofline said: the ratio corrects the next plan.

Only finished runs and measurements (`bench`) of the same model on a card of the same name count, and only
stages that were computed, not taken from the store.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from cogexp import record as records
from cogexp.catalog import VARIANTS
from cogexp.plan import cards, roofline
from cogexp.plan.cards import Card
from cogexp.spec import OptimizationSpec, RunSpec, SpecError
from cogexp.storage import record_schema
from cogexp.storage.foreign_data import ForeignDataError, read_json

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
        return (
            f"times corrected by {self.runs} finished runs or measurements on this card" if self.runs else ""
        )


NOTHING = Correction()


@dataclass(frozen=True, kw_only=True)
class _Took:
    """What one finished run or measurement took: its spec as written, its GPU, seconds by stage."""

    spec: dict[str, Any]
    gpu: str
    seconds: dict[str, float]


def read(outputs: Path, spec: RunSpec, card: Card) -> Correction:
    """The correction that finished runs and `bench` below `outputs` give for this model on this card."""
    ratios: dict[str, list[float]] = {}
    flagged: dict[tuple[str, OptimizationSpec], list[float]] = {}
    runs = 0
    for took in (*_runs(outputs), *_benches(outputs)):
        found = _ratios(took, spec, card)
        runs += bool(found)
        for (stage, flags), ratio in found.items():
            ratios.setdefault(stage, []).append(ratio)
            flagged.setdefault((stage, flags), []).append(ratio)
    return Correction(
        by_stage={stage: median(values) for stage, values in ratios.items()},
        by_flags={key: median(values) for key, values in flagged.items()},
        runs=runs,
    )


def _runs(outputs: Path) -> Iterator[_Took]:
    """Finished runs: only the stages that they computed."""
    for file in sorted((outputs / "runs").glob(f"*/{records.RECORD_FILE}")):
        record = records.read_if_whole(file.parent)
        if record is not None and record.status == "ok":
            seconds = {
                stage: float(cost["seconds"])
                for stage, cost in record.stages.items()
                if stage in STAGES and cost.get("seconds") is not None and not cost.get("cached")
            }
            yield _Took(spec=record.spec, gpu=str(record.device.get("gpu") or ""), seconds=seconds)


def _benches(outputs: Path) -> Iterator[_Took]:
    """What `bench` measured: some steps stand for all of them."""
    for file in sorted((outputs / "bench").glob("*/bench.json")):
        try:
            plain = read_json(file)
            if problem := record_schema.bench_problem(plain):
                raise ForeignDataError(problem)
            if plain["status"] != "ok":
                continue
            steps = plain["spec"]["sampler"]["steps"]
            times = {
                "encode": plain["encode_seconds"],
                "denoise": plain["step"] * steps if plain["step"] else None,
                "decode": plain["decode_seconds"],
            }
            gpu = str(plain["device"].get("gpu") or "")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.debug("not used for the plan: %s: %s", file, error)
            continue
        seconds = {stage: value for stage, value in times.items() if isinstance(value, float)}
        yield _Took(spec=plain["spec"], gpu=gpu, seconds=seconds)


def _ratios(took: _Took, spec: RunSpec, card: Card) -> dict[tuple[str, OptimizationSpec], float]:
    if (took.spec.get("model") or {}).get("name") != spec.model.name:
        return {}
    if not took.gpu or not _same_card(took.gpu, card):
        return {}
    try:
        ran = RunSpec.from_dict(took.spec)
    except SpecError as error:
        log.debug("not used for the plan: %s", error)
        return {}
    predicted = roofline.seconds(ran, VARIANTS[ran.model.name], card)
    return {
        (stage, ran.optimization): seconds / predicted[stage]
        for stage, seconds in took.seconds.items()
        if seconds > 0 and predicted[stage] > 0
    }


def _same_card(name: str, card: Card) -> bool:
    """The same name, or the same entry of the table."""
    known = cards.by_name(name)
    return name == card.name or (known is not None and known == cards.by_name(card.name))
