"""What the metrics cost on this CPU, side by side in one run: pytest -m bench -s THIS_FILE"""

from __future__ import annotations

import time

import pytest

from cogexp.metrics import EvalClip, measure
from cogexp.metrics.artifacts.detect import DETECTORS, Tiles, default_tiles, detect, evidence_of
from cogexp.metrics.artifacts.evidence import Finding
from cogexp.metrics.threads import one_each
from tests.metrics.clips import shipped

TEAR_SET = ("shear", "smear", "duplicated_band", "desync", "noise_band", "stripes", "seam")
CHEAP = ("temporal_flickering", "warp_error", "motion_px", "tear", "sharpness", "exposure")
TILES = (Tiles(), Tiles(rows=(200, 240), columns=(288, 360)))


def detect_in_turn(clip: EvalClip, rounds: int) -> tuple[dict[str, float], dict[str, Finding]]:
    """CPU seconds of each detector, the best of all rounds (others only ever add), and its finding."""
    costs: dict[str, float] = {}
    found: dict[str, Finding] = {}
    for _ in range(rounds):
        evidence = evidence_of(clip, default_tiles(clip))
        start = time.process_time()
        _ = evidence.luma
        spent = time.process_time() - start
        costs["(luma)"] = min(spent, costs.get("(luma)", spent))
        for name, detector in DETECTORS.items():
            start = time.process_time()
            with one_each():  # as in detect()
                found[name] = detector.find(evidence)
            spent = time.process_time() - start
            costs[name] = min(spent, costs.get(name, spent))
    return costs, found


def measure_in_turn(frames: int, size: tuple[int, int]) -> dict[str, tuple[float, float | None]]:
    """Metric -> CPU seconds and score of a clip of (width, height)."""
    clip = shipped("bikes", frames, size)
    found = {}
    for name in CHEAP:
        start = time.process_time()
        score = measure(clip, 8, None, [name]).scores[name]
        found[name] = (time.process_time() - start, score)
    return found


def find_seams(frames: int, size: tuple[int, int]) -> list[tuple[int, float, Finding]]:
    """Number of known rows, CPU seconds and finding: without tiles, and with those of VAE tiling."""
    clip = EvalClip.collect([shipped("bikes", frames, size)], 8)
    found = []
    for tiles in TILES:
        start = time.process_time()
        finding = DETECTORS["seam"].find(evidence_of(clip, tiles))
        found.append((len(tiles.rows), time.process_time() - start, finding))
    return found


@pytest.mark.bench
@pytest.mark.parametrize("frames", [17, 49])
def test_cost_of_each_detector(frames: int) -> None:
    seconds, _ = detect_in_turn(EvalClip.collect([shipped("bikes", frames, (512, 288))], 8), rounds=3)
    costs = {name: spent / frames * 1e3 for name, spent in seconds.items()}
    print(f"\nCPU ms a frame, 512x288x{frames}")
    for name, spent in costs.items():
        print(f"  {name:16} {spent:6.2f}")
    print(f"  {'tear set':16} {sum(costs[name] for name in TEAR_SET) + costs['(luma)']:6.2f}")
    print(f"  {'all':16} {sum(costs.values()):6.2f}")


@pytest.mark.bench
def test_cost_of_the_cheap_metrics() -> None:
    print("\nCPU ms a frame, 512x288x17")
    for name, (spent, _) in measure_in_turn(17, (512, 288)).items():
        print(f"  {name:20} {spent / 17 * 1e3:6.2f}")


@pytest.mark.bench
def test_cost_of_known_tiles() -> None:
    """Knowing the tiles changes weights, not work."""
    for rows, spent, _ in find_seams(17, (512, 288)):
        print(f"  seam, {rows} known rows: {spent / 17 * 1e3:.2f} ms a frame")


def test_in_short_each_detector_alone_finds_what_all_find_together() -> None:
    clip = EvalClip.collect([shipped("bikes", 5, (160, 96))], 8)
    _, found = detect_in_turn(clip, rounds=1)
    assert set(TEAR_SET) <= set(found)
    assert found == {name: finding for name, (_, finding) in detect(clip).findings.items()}


def test_in_short_each_metric_alone_scores_as_all_do_together() -> None:
    together = measure(shipped("bikes", 5, (160, 96)), 8, None, list(CHEAP)).scores
    assert {name: score for name, (_, score) in measure_in_turn(5, (160, 96)).items()} == together


def test_in_short_seams_are_looked_for_with_and_without_tiles() -> None:
    assert [rows for rows, _, _ in find_seams(5, (512, 288))] == [0, 2]
