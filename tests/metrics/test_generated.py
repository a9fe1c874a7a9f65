"""Clips of the embedded model, torn by default tiles: found by the run, put down to the decoder."""

import pytest

from tests.metrics.generated import PROMPTS, pair_of, spec_of, still_of

pytestmark = pytest.mark.slow
STEPS = 2


def test_a_torn_run_is_found_and_its_pair_is_told_from_a_sound_one(tmp_path):
    pair = pair_of(spec_of("wolves", 0, STEPS), tmp_path)
    found = pair.record.artifacts["native"]
    assert found["level"] in ("suspect", "certain")
    assert (found["kind"], found["cause"]) == ("seam", "decoder")
    assert 200 <= found["rows"][0] <= 240
    assert found["rows"][1] == 287
    assert pair.torn.cause == "decoder"
    assert pair.sound.cause != "decoder"


def test_a_run_decoded_whole_is_not_checked_for_tiles(tmp_path):
    pair = pair_of(spec_of("wolves", 0, STEPS, tiling=False), tmp_path)
    assert pair.record.artifacts["native"]["cause"] == "unknown"


def test_every_torn_pair_ranks_above_every_sound_one(tmp_path):
    pairs = [still_of(spec_of(prompt, 0, STEPS), tmp_path) for prompt in PROMPTS]
    assert min(pair.torn.score for pair in pairs) > max(pair.sound.score for pair in pairs) + 0.2
