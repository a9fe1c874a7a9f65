"""Peaks and times that `bench` measured on a GPU, against the planner.

NVIDIA H200 (driver 580.159.04), torch 2.11.0 with CUDA 13.0 and cuDNN 9.19, diffusers 0.42.1, transformers
5.17.0, Python 3.12.3, 2026-11-27; full-size random weights in bfloat16, four steps. The table with the
commands is in docs/performance.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from cogexp.catalog import VARIANTS
from cogexp.plan import cards, memory, roofline
from cogexp.spec import RunSpec
from tests.plan.test_published import ALLOCATED, RESERVED, spec_of

LIGHT = {"offload": "group-block", "lean_vae": True}
TUNED = {"compile": "blocks", "attention": "cudnn", "lean_vae": True}
STAGES = ("encode", "denoise", "decode")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """5b with some flags: GiB by stage (encode, denoise, decode), seconds a step and a clip of 50 steps."""

    flags: dict[str, Any] = field(default_factory=dict)
    size: tuple[int, int, int] = (512, 288, 49)
    allocated: tuple[float, float, float]
    reserved: tuple[float, float, float]
    step: float
    clip: float

    @property
    def spec(self) -> RunSpec:
        """What was measured."""
        return spec_of("cogvideox-5b", self.size, weights="random", **self.flags)

    @property
    def planned(self) -> dict[str, memory.StageMemory]:
        """The closed forms."""
        return memory.stages(self.spec, VARIANTS["cogvideox-5b"])

    @property
    def seconds(self) -> dict[str, float]:
        """The roofline's, by stage."""
        return roofline.seconds(self.spec, VARIANTS["cogvideox-5b"], cards.CARDS["H200"])


MEASURED = {
    "none": Measured(
        allocated=(8.963, 20.428, 25.988), reserved=(8.986, 21.332, 29.611), step=0.592, clip=30.66
    ),
    "light": Measured(
        flags=LIGHT, allocated=(1.057, 1.708, 3.418), reserved=(1.172, 2.635, 6.578), step=0.666, clip=34.80
    ),
    "lean-vae": Measured(
        flags={"lean_vae": True},
        allocated=(8.964, 20.428, 23.070), reserved=(8.988, 21.332, 26.213), step=0.590, clip=30.50,
    ),
    "tuned": Measured(
        flags=TUNED,
        allocated=(8.964, 20.305, 23.068), reserved=(8.988, 20.721, 24.840), step=0.415, clip=21.74,
    ),
    "text-offload": Measured(
        flags={"offload": "text"},
        allocated=(8.964, 11.556, 17.112), reserved=(8.988, 12.463, 20.748), step=0.595, clip=38.56,
    ),
    "720x480": Measured(
        size=(720, 480, 49),
        allocated=(8.963, 21.938, 34.433), reserved=(8.986, 24.002, 41.631), step=1.811, clip=92.80,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MEASURED)
def test_the_peak(name: str) -> None:
    one = MEASURED[name]
    stages = one.planned.values()
    assert max(stage.peak_allocated_gib for stage in stages) == pytest.approx(
        max(one.allocated), rel=ALLOCATED
    )
    assert max(stage.reserved_gib for stage in stages) == pytest.approx(max(one.reserved), rel=RESERVED)


@pytest.mark.parametrize("name", MEASURED)
@pytest.mark.parametrize("stage", STAGES)
def test_every_stage(name: str, stage: str) -> None:
    """cuBLAS's 32 MiB and what was encoded count here, too: some per cent of what `light` encodes in."""
    one, index = MEASURED[name], STAGES.index(stage)
    planned = one.planned[stage]
    assert planned.peak_allocated_gib == pytest.approx(one.allocated[index], rel=0.02, abs=0.065)
    assert planned.reserved_gib == pytest.approx(one.reserved[index], rel=RESERVED, abs=0.2)


def test_what_cudnn_copies_is_what_the_lean_decoder_takes_more_than_a_trace_without_it() -> None:
    """The last large convolution: 2.39 GiB alive, with 0.98 of its input and output channels last: 3.38."""
    alive, turned = 2.391, (256 * 10 + 128 * 8) * 512 * 288 * 2 / memory.GIB
    planned = MEASURED["light"].planned["decode"].activations_gib
    assert planned == pytest.approx(alive + turned, rel=0.005)


@pytest.mark.parametrize("name", MEASURED)
def test_the_time_of_a_step_and_of_a_clip(name: str) -> None:
    """They set the card's efficiency and what waiting costs; within 6 % with both sizes and all flags."""
    one = MEASURED[name]
    assert one.seconds["denoise"] / 50 == pytest.approx(one.step, rel=0.06)
    if name != "text-offload":  # measured when T5 still was copied back: 7.8 s of its clip
        assert sum(one.seconds.values()) == pytest.approx(one.clip, rel=0.06)


@pytest.mark.parametrize("name", ["light", "lean-vae", "tuned", "720x480"])
def test_the_time_relative_to_no_flags(name: str) -> None:
    """A step: light 1.12, lean 1.00, tuned 0.70 and 720x480 3.06 times as long."""
    plain, one = MEASURED["none"], MEASURED[name]
    planned = one.seconds["denoise"] / plain.seconds["denoise"]
    assert planned == pytest.approx(one.step / plain.step, rel=0.05)
