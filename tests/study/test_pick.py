"""Picking among made-up records: constraints, failures, skips, mixtures, and the shape of the answer."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable
from typing import Any

import pytest

from cogexp.record import Record
from cogexp.spec import SpecError
from cogexp.study import Choice, pick, study_of
from cogexp.study.pareto import front
from cogexp.study.query import LOWER_IS_BETTER, range_of, read_query
from cogexp.study.words import markdown, to_json
from tests.study.records import make_record

PROMPTS, SEEDS = ("p0", "p1", "p2", "p3"), (0, 1)
# Noise that differs from cell to cell and from setting to setting, without a generator.
WOBBLE = {(p, s): 0.1 * ((3 * i + 5 * s) % 7) for i, p in enumerate(PROMPTS) for s in SEEDS}


def setting(score: float | None, *, cells: int = 8, **options: Any) -> list[Record]:
    """Runs of one setting over the prompts and seeds."""
    pairs = [(p, s) for p in PROMPTS for s in SEEDS][:cells]
    shift = len(str(options)) % 3
    return [
        make_record(
            None if score is None else score + WOBBLE[p, s] * (1 + 0.1 * shift), prompt=p, seed=s, **options
        )
        for p, s in pairs
    ]


def ask(found: Iterable[Record], *words: str) -> Choice:
    return pick(study_of(found), read_query(words))


def test_the_better_setting_is_recommended() -> None:
    choice = ask([*setting(25.0), *setting(30.0, size="640x352")], "maximize=clip_score")
    assert choice.recommended == {"resolution": "640x352"}
    assert choice.decisive
    assert choice.confidence >= 0.95
    assert choice.sentence.startswith("Recommended: resolution=640x352, with 9")
    best = choice.table[0]
    assert best.metrics["clip_score"][1] == 8
    assert best.metrics["clip_score"][0].mean == pytest.approx(30.0 + sum(WOBBLE.values()) / 8, rel=0.01)


def test_shuffling_records_does_not_change_the_answer() -> None:
    found = [*setting(25.0), *setting(25.1, size="640x352"), *setting(24.9, upscaler="lanczos")]
    expected = to_json(ask(found))
    for seed in range(5):
        random.Random(seed).shuffle(found)
        assert to_json(ask(found)) == expected


def test_a_setting_that_runs_out_of_memory_is_left_out_with_the_reason() -> None:
    better = setting(40.0, size="1360x768", cells=5) + [
        make_record(status="oom", prompt=p, seed=s, size="1360x768") for p, s in [("p2", 1), ("p3", 0)]
    ]
    choice = ask([*setting(25.0), *setting(28.0, size="640x352"), *better])
    assert choice.recommended == {"resolution": "640x352"}
    (left_out,) = choice.excluded
    assert left_out.axes == {"resolution": "1360x768"}
    assert "2 of 7 runs ran out of memory (denoise: CUDA out of memory)" in left_out.reason


def test_when_all_others_fail_the_survivor_is_recommended() -> None:
    failed = [make_record(status="failed", prompt="p0", size="640x352")]
    choice = ask([*setting(25.0), *failed])
    assert choice.decisive
    assert choice.recommended == {"resolution": "512x288"}
    assert "only setting that works" in choice.sentence


def test_a_single_setting_is_no_decision() -> None:
    choice = ask(setting(25.0))
    assert not choice.decisive
    assert choice.recommended == {}


def test_limits_and_conditions() -> None:
    found = [
        *setting(30.0, size="720x480", peak=30.0),
        *setting(29.0, size="640x352", seconds=400.0),
        *setting(28.0, size="384x224", level="certain"),
        *setting(27.0, size="256x144", motion=0.1),
        *setting(25.0),
        *setting(20.0, upscaler="lanczos"),
    ]
    choice = ask(found, "where=tear.level!=certain and motion_px>0.5", "max_vram=24GB", "max_seconds=300")
    assert choice.recommended == {"resolution": "512x288", "upscaler": "none"}
    reasons = {item.axes["resolution"]: item.reason for item in choice.excluded}
    assert reasons["720x480"] == "peak VRAM is 30.0 GiB (max_vram 24)"
    assert reasons["640x352"] == "a run takes 400.0 s (max_seconds 300)"
    assert reasons["384x224"] == "tear.level is certain in 8 of 8 runs (where tear.level!=certain)"
    assert reasons["256x144"] == "motion_px is 0.1 (where motion_px>0.5)"


def test_axes_prompts_and_detectors_in_conditions() -> None:
    found = [*setting(25.0), *setting(30.0, size="640x352"), *setting(31.0, size="720x480", level="suspect")]
    assert ask(found, "where=width<700").recommended == {"resolution": "640x352"}
    assert ask(found, "where=shear.level<suspect").recommended == {"resolution": "640x352"}
    one = ask(found, "where=prompt==p1")
    assert one.prompts == 1
    with pytest.raises(SpecError, match="leaves none"):
        ask(found, "where=prompt==p9")


def test_nothing_left_says_why() -> None:
    choice = ask(setting(25.0, peak=30.0), "max_vram=24GB")
    assert choice.recommended is None
    assert not choice.decisive
    assert "No setting is left" in choice.sentence
    assert "30.0 GiB" in choice.sentence


def test_runs_without_a_gpu_meet_max_vram_and_it_is_said() -> None:
    found = [*setting(25.0, peak=None, device="cpu"), *setting(30.0, peak=None, device="cpu", size="640x352")]
    choice = ask(found, "max_vram=24GB")
    assert choice.recommended == {"resolution": "640x352"}
    assert any("max_vram" in note for note in choice.notes)
    unmeasured = ask([*setting(25.0), *setting(30.0, peak=None, size="640x352")], "max_vram=24GB")
    assert "not measured" in unmeasured.excluded[0].reason


def test_load_is_not_part_of_the_seconds_and_cached_stages_are() -> None:
    choice = ask(setting(25.0, seconds=12.0))
    assert choice.table[0].metrics["seconds"][0].mean == pytest.approx(12.0)


def test_skipped_metrics_are_named_not_averaged() -> None:
    partly = [
        make_record(None if (p, s) == ("p0", 0) else 30.0 + WOBBLE[p, s], prompt=p, seed=s, size="640x352")
        for p in PROMPTS
        for s in SEEDS
    ]
    choice = ask([*setting(25.0), *partly])
    assert choice.table[0].metrics["clip_score"][1] == 7  # the pairs that both have
    assert any(
        note.startswith("native/clip_score was skipped in 1 of 16 runs: no weights") for note in choice.notes
    )
    never = ask([*setting(25.0), *setting(28.0, steps=30), *setting(None, size="640x352")])
    assert "clip_score was skipped: no weights" in never.excluded[0].reason


def test_a_metric_that_no_run_has_is_refused() -> None:
    with pytest.raises(SpecError, match=r"measured in no run: no weights: python -m cogexp fetch"):
        ask(setting(None), "maximize=clip_score")
    with pytest.raises(SpecError, match="must name a metric"):
        ask(setting(None))
    with pytest.raises(SpecError, match="nearest: clip_score"):
        ask(setting(25.0), "maximize=clip_scor")
    with pytest.raises(SpecError, match=r"where must name .* nearest: motion_px"):
        ask(setting(25.0), "where=motion>1")


def test_scores_of_different_networks_are_refused() -> None:
    found = [*setting(25.0, network="net-a"), *setting(90.0, network="net-b", size="640x352")]
    with pytest.raises(SpecError, match=r"one network .* net-a, net-b; nearest: where='clip_network==net-a'"):
        ask(found, "maximize=clip_score")
    assert ask(found, "where=clip_network==net-a").recommended == {}
    by_motion = ask(found, "maximize=motion_px")
    assert any("clip_score is left out" in note for note in by_motion.notes)
    assert all("clip_score" not in row.metrics for row in by_motion.table)


def test_scores_at_different_heights_are_refused() -> None:
    taller = [
        dataclasses.replace(r, spec={**r.spec, "metrics": {**r.spec["metrics"], "height": 480}})
        for r in setting(30.0, size="640x352")
    ]
    with pytest.raises(SpecError, match=r"metrics.height .* 288, 480"):
        ask([*setting(25.0), *taller])


def test_bare_names_are_of_the_delivered_clip() -> None:
    """make_record gives the native clip of an upscaling setting half of the score."""
    found = [*setting(25.0), *setting(28.0, upscaler="esrgan")]
    assert ask(found, "maximize=clip_score").recommended == {"upscaler": "esrgan"}
    assert ask(found, "maximize=native/clip_score").recommended == {"upscaler": "none"}
    only = ask(found, "maximize=upscaled/clip_score")
    assert "does not upscale" in only.excluded[0].reason
    assert not only.decisive


def test_minimize_and_a_hint_when_the_direction_looks_wrong() -> None:
    found = [*setting(25.0, seconds=9.0), *setting(25.0, seconds=5.0, size="384x224")]
    choice = ask(found, "minimize=seconds")
    assert choice.recommended == {"resolution": "384x224"}
    mean = choice.table[0].metrics["seconds"][0]
    assert mean.low <= mean.mean <= mean.high
    assert any("did you mean minimize=seconds" in note for note in ask(found, "maximize=seconds").notes)


def test_directions_agree_with_the_metrics_own() -> None:
    from cogexp.metrics.measurement import METRICS

    assert set(LOWER_IS_BETTER) == {name for name, m in METRICS.items() if m.higher_is_better is False}


def test_undecided_says_how_many_more_and_names_the_fastest() -> None:
    found = [
        make_record(
            25.0 + gain * (1 if i % 2 else -1) + 0.15 * k, prompt=p, seed=s, size=size, seconds=20.0 - 5 * k
        )
        for k, (size, gain) in enumerate([("512x288", 0.0), ("384x224", 0.6)])
        for i, p in enumerate(PROMPTS)
        for s in SEEDS
    ]
    choice = ask(found)
    assert not choice.decisive
    assert choice.recommended == {"resolution": "384x224"}
    assert choice.more_prompts is not None
    assert choice.more_runs == choice.more_prompts * 2 * 2
    assert "The runs do not decide it." in choice.sentence
    assert f"About {choice.more_prompts} more prompts x 2 seeds" in choice.sentence
    assert "resolution=384x224 is the fastest" in choice.sentence


def test_one_run_a_setting_is_not_evidence() -> None:
    choice = ask([make_record(25.0), make_record(30.0, size="640x352")])
    assert not choice.decisive
    assert "One run a setting says nothing about chance" in choice.sentence


def test_no_shared_cells_and_sparse_settings() -> None:
    apart = ask([make_record(25.0, prompt="p0"), make_record(30.0, prompt="p1", size="640x352")])
    assert apart.recommended is None
    assert "share a prompt and a seed" in apart.sentence
    sparse = ask([*setting(25.0), *setting(26.0, steps=30), *setting(40.0, size="640x352", cells=2)])
    assert sparse.excluded[0].reason == "only 2 of 8 prompts and seeds were run: run the rest"


def test_interrupted_runs_do_not_count() -> None:
    stopped = [make_record(status="interrupted", prompt="p9", size="640x352")]
    choice = ask([*setting(25.0), *setting(30.0, size="640x352"), *stopped])
    assert choice.recommended == {"resolution": "640x352"}
    assert any("1 interrupted run" in note for note in choice.notes)


def test_pareto_closed_cases() -> None:
    assert front([]) == []
    assert front([(1.0, 1.0)]) == [True]
    assert front([(1.0, 2.0), (2.0, 1.0), (2.0, 2.0)]) == [True, True, False]
    assert front([(1.0, 1.0), (1.0, 1.0)]) == [True, True]  # equal points both stay
    assert front([(1.0, None), (2.0, None)]) == [True, False]
    assert front([(1.0, None), (2.0, 5.0)]) == [True, True]  # not comparable


def test_pareto_marks() -> None:
    found = [
        *setting(30.0, size="720x480", peak=20.0, seconds=30.0),
        *setting(25.0, size="512x288", peak=10.0, seconds=10.0),
        *setting(20.0, size="640x352", peak=15.0, seconds=20.0),
    ]
    marks = {row.axes["resolution"]: row.pareto for row in ask(found).table}
    assert marks == {"720x480": True, "512x288": True, "640x352": False}


def test_json_contract() -> None:
    broken = [make_record(status="oom", prompt="p0", size="1360x768")]
    answer = to_json(ask([*setting(25.0), *setting(30.0, size="640x352"), *broken], "max_vram=24GB"))
    assert {"recommended", "confidence", "decisive", "constraints", "objective", "table", "excluded"} <= set(
        answer
    )
    assert answer["recommended"] == {"resolution": "640x352"}
    assert 0.0 <= answer["confidence"] <= 1.0
    row = answer["table"][0]
    assert row["resolution"] == "640x352"
    assert set(row["clip_score"]) == {"mean", "low", "high", "n"}
    assert row["clip_score"]["low"] <= row["clip_score"]["mean"] <= row["clip_score"]["high"]
    assert answer["excluded"][0]["resolution"] == "1360x768"
    assert "memory" in answer["excluded"][0]["reason"]
    assert answer["constraints"]["max_vram_gib"] == 24.0


def test_markdown_is_a_table_whatever_the_reason_says() -> None:
    broken = make_record(status="failed", prompt="p0", size="640x352")
    broken = dataclasses.replace(broken, error={"type": "X", "message": "a | b\n<script>", "stage": "decode"})
    text = markdown(ask([*setting(25.0), *setting(26.0, steps=30), broken]))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    assert "<script>" not in text
    assert "a \\| b" in text


def test_an_interval_stays_within_what_the_metric_can_be() -> None:
    found = [
        dataclasses.replace(record, scores={**record.scores, "native/tear": 8.0 * (prompt == "p0")})
        for size in ("512x288", "640x352")
        for prompt in PROMPTS
        for record in [make_record(size=size, prompt=prompt, seconds=0.1)]
    ]
    choice = ask(found, "minimize=native/tear")
    shown = choice.table[0].metrics["native/tear"][0]
    assert (shown.mean, shown.low) == (2.0, 0.0)
    assert shown.high > 2.0
    assert choice.table[1].behind is not None, "a difference may well be negative"
    assert choice.table[1].behind.low <= 0.0
    assert range_of("seconds") == range_of("native/warp_error") == (0.0, float("inf"))
    assert range_of("upscaled/clip_score") == (0.0, 100.0)
    assert range_of("of_my_own") == (float("-inf"), float("inf"))
