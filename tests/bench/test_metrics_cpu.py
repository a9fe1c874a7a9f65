"""What the metrics cost on this CPU, side by side in one run: pytest -m bench -s THIS_FILE"""

from __future__ import annotations

import time

import pytest

from cogexp.metrics import EvalClip, measure
from cogexp.metrics.artifacts.detect import DETECTORS, Tiles, default_tiles, evidence_of
from cogexp.metrics.threads import one_each
from tests.metrics.clips import shipped

pytestmark = pytest.mark.bench

TEAR_SET = ("shear", "smear", "duplicated_band", "desync", "noise_band", "stripes", "seam")


@pytest.mark.parametrize("frames", [17, 49])
def test_cost_of_each_detector(frames: int) -> None:
    clip = EvalClip.collect([shipped("bikes", frames, (512, 288))], 8)
    costs: dict[str, float] = {}
    for _ in range(3):  # the best of three: other programs only ever add
        evidence = evidence_of(clip, default_tiles(clip))
        start = time.process_time()
        _ = evidence.luma
        luma = (time.process_time() - start) / frames * 1e3
        costs["(luma)"] = min(luma, costs.get("(luma)", luma))
        for name, detector in DETECTORS.items():
            start = time.process_time()
            with one_each():  # as in detect()
                detector.find(evidence)
            spent = (time.process_time() - start) / frames * 1e3
            costs[name] = min(spent, costs.get(name, spent))
    print(f"\nCPU ms a frame, 512x288x{frames}")
    for name, spent in costs.items():
        print(f"  {name:16} {spent:6.2f}")
    print(f"  {'tear set':16} {sum(costs[name] for name in TEAR_SET) + costs['(luma)']:6.2f}")
    print(f"  {'all':16} {sum(costs.values()):6.2f}")


def test_cost_of_the_cheap_metrics() -> None:
    frames = shipped("bikes", 17, (512, 288))
    print("\nCPU ms a frame, 512x288x17")
    for name in ("temporal_flickering", "warp_error", "motion_px", "tear", "sharpness", "exposure"):
        start = time.process_time()
        measure(frames, 8, None, [name])
        print(f"  {name:20} {(time.process_time() - start) / 17 * 1e3:6.2f}")


def test_cost_of_known_tiles() -> None:
    """Knowing the tiles changes weights, not work."""
    clip = EvalClip.collect([shipped("bikes", 17, (512, 288))], 8)
    for tiles in (Tiles(), Tiles(rows=(200, 240), columns=(288, 360))):
        start = time.process_time()
        DETECTORS["seam"].find(evidence_of(clip, tiles))
        print(
            f"  seam, {len(tiles.rows)} known rows: {(time.process_time() - start) / 17 * 1e3:.2f} ms a frame"
        )
