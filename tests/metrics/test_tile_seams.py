"""What VAE tiles changed, measured on one frame decoded both ways, and what becomes of it in a record."""

import numpy as np
import pytest

from cogexp.metrics import EvalClip
from cogexp.metrics.artifacts.attribution import FAINT, tile_seams
from cogexp.metrics.artifacts.detect import Tiles, detect, with_measured
from cogexp.metrics.artifacts.evidence import Finding
from tests import faults
from tests.metrics.clips import pan, shipped

TILES = Tiles(rows=(200,), columns=(288,))


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return shipped("bikes", 5, (512, 288))


def test_a_blend_over_forty_rows_is_measured_though_no_detector_sees_it(clip):
    torn = faults.seam(clip, 220, 40, 1.05, (0, 0, 0), 1)
    assert detect(EvalClip.collect([torn], 8), names=["seam"], tiles=TILES).level == "none"
    seam = tile_seams(torn[:1], clip[:1], TILES)["seam"]
    assert seam.raw >= 2
    assert 200 <= seam.rows[0] <= 248
    assert seam.rows[1] == 287
    assert len(seam.profile) == 288


def test_columns_are_named_for_tiles_side_by_side(clip):
    found = tile_seams(faults.seam(clip, 300, 16, 1.05, (0, 0, 0), 2)[:1], clip[:1], TILES)
    assert list(found) == ["vertical_seam"]
    assert 288 <= found["vertical_seam"].columns[0] <= 320


def test_nothing_is_said_without_tiles_or_where_nothing_changed(clip):
    torn = faults.seam(clip, 220, 40, 1.05, (0, 0, 0), 1)
    assert tile_seams(torn, clip, Tiles()) == {}
    assert tile_seams(clip, clip, TILES) == {}


def test_what_cannot_be_seen_is_never_certain():
    clip = np.full((1, 288, 512, 3), 100, np.uint8)
    torn = clip.copy()
    torn[:, 240:, ::3] += 2  # 0.67 levels on average
    assert 1 <= tile_seams(torn, clip, TILES)["seam"].raw <= FAINT


@pytest.mark.parametrize("scale", [1, 2])
def test_a_measured_seam_leads_and_is_in_rows_of_the_source(scale):
    small = pan(2, 4, 512, 288)
    clip = small.repeat(scale, 1).repeat(scale, 2)
    without = detect(EvalClip.collect([clip], 8))
    assert without.row_factor == scale
    measured = Finding(raw=2.5, rows=(216 * scale, 288 * scale - 1), profile=(1.0,) * 288 * scale)
    found = with_measured(without, {"seam": measured})
    assert (found.level, found.kind, found.score) == ("certain", "seam", 2.5)
    assert found.rows == (216 * scale, 288 * scale - 1)
    assert found.to_dict()["detectors"]["seam"] == {
        "score": 2.5,
        "level": "certain",
        "rows": [216 * scale, 288 * scale - 1],
    }


def test_the_clearer_of_two_findings_of_a_detector_stands(clip):
    sharp = detect(EvalClip.collect([faults.seam(clip, 171, 0, 1.12, (0, 0, 0), 1)], 8), names=["seam"])
    found = with_measured(sharp, {"seam": Finding(raw=0.5, rows=(216, 287))})
    assert found.findings["seam"] == sharp.findings["seam"]
