"""The detectors: known faults are found where they are, clean clips stay quiet."""

import json

import numpy as np
import pytest

from cogexp.metrics import EvalClip
from cogexp.metrics.artifacts.detect import DETECTORS, Tiles, default_tiles, detect
from cogexp.metrics.artifacts.shear import band
from tests import faults
from tests.metrics.clips import pan, shipped, texture

T, SIZE = 9, (512, 288)
ALL = np.ones(T, bool)
Y0 = 251


@pytest.fixture(scope="module")
def bikes() -> np.ndarray:
    return shipped("bikes", T, SIZE)


@pytest.fixture(scope="module")
def bunny() -> np.ndarray:
    return shipped("bigbuckbunny", T, SIZE)


def found(clip: np.ndarray, **options):
    return detect(EvalClip.collect([clip], 8), **options)


FAULTS = {
    "shear": lambda c: faults.shear(c, ALL, Y0, 288, np.full(T, 9)),
    "smear": lambda c: faults.smear(c, ALL, Y0, False),
    "duplicated_band": lambda c: faults.duplicated_band(c, ALL, Y0, Y0 - 37),
    "noise_band": lambda c: faults.noise_band(c, ALL, Y0, 40, "gauss", np.random.default_rng(0)),
    "stripes": lambda c: faults.stripes(c, ALL, Y0, 6, 30, False, 0),
    "vertical_shear": lambda c: faults.vertical_shear(c, ALL, 301, 9),
    "vertical_seam": lambda c: faults.seam(c, 288, 0, 1.0, (14, 14, 14), 2),
    "grid": lambda c: faults.grid(c, 16, 10, True, np.random.default_rng(0)),
    "checkerboard": lambda c: faults.checkerboard(c, 4, 6),
    "flicker": lambda c: faults.flicker(c, 1 + 0.1 * (np.arange(T) % 2)),
    "freeze": lambda c: faults.freeze(c, 4, 3),
    "black": lambda c: faults.black(c, 4, 2),
}
ROWS_KNOWN = ("shear", "smear", "duplicated_band", "noise_band", "stripes")


@pytest.mark.parametrize("name", FAULTS)
def test_a_plain_fault_is_named_with_its_level_and_place(bikes, name):
    clip = pan(2, T) if name == "vertical_shear" else bikes  # the bikes' fences hide a vertical shift
    result = found(FAULTS[name](clip))
    assert result.kind == name
    assert result.level == "certain"
    if name in ROWS_KNOWN:
        assert abs(result.rows[0] - Y0) <= 2
        assert result.rows[1] == 287


def test_a_column_is_named_for_vertical_faults(bikes):
    assert abs(found(FAULTS["vertical_shear"](pan(2, T))).columns[0] - 301) <= 1
    assert abs(found(FAULTS["vertical_seam"](bikes)).columns[0] - 288) <= 1


def test_a_displaced_band_has_both_of_its_ends(bikes):
    result = found(faults.shear(bikes, ALL, 120, 160, np.full(T, 11)))
    assert result.kind == "shear"
    assert result.rows == (120, 159)


def test_rows_of_another_frame_are_desynchronised(bikes):
    raw = {}
    for name, clip in (("clean", bikes), ("fault", faults.desync(bikes, ALL, 231, 3))):
        finding = DETECTORS["desync"].find(_evidence(clip))
        raw[name] = finding.raw
        rows = finding.rows
    assert raw["fault"] > 0.8 > 2 * raw["clean"]
    assert abs(rows[0] - 231) <= 2


def test_a_sharp_seam_is_found_at_its_row_and_known_tiles_count_for_more(bunny):
    clip = faults.seam(bunny, 200, 0, 1.14, (0, 0, 0), 1)
    finding = DETECTORS["seam"].find(_evidence(clip, Tiles(rows=(200,))))
    blind = DETECTORS["seam"].find(_evidence(clip, Tiles()))
    assert abs(finding.rows[0] - 200) <= 1
    assert finding.raw == pytest.approx(1.5 * blind.raw) or finding.raw > blind.raw
    assert finding.raw > DETECTORS["seam"].find(_evidence(bunny, Tiles(rows=(200,)))).raw


def _evidence(clip, tiles=None):
    from cogexp.metrics.artifacts.detect import evidence_of

    return evidence_of(EvalClip.collect([clip], 8), tiles or Tiles())


@pytest.mark.parametrize("name", ["bikes", "bigbuckbunny"])
@pytest.mark.parametrize("crf", [None, 18, 28])
def test_clean_clips_are_not_certain(name, crf):
    clip = shipped(name, T, SIZE)
    result = found(clip if crf is None else faults.compressed(clip, crf))
    assert result.level == "none", (result.kind, result.score)


def letterbox(clip):
    out = clip.copy()
    out[:, :36] = out[:, -36:] = 16
    return out


def subtitle(clip):
    import cv2

    out = clip.copy()
    for frame in out:
        cv2.putText(frame, "this is what was said", (120, 262), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (240,) * 3, 2)
    return out


def cut(clip):
    return np.concatenate([clip[:4], clip[:5, ::-1, ::-1]])


def fade(clip):
    return (clip * np.linspace(1, 0, len(clip))[:, None, None, None]).astype(np.uint8)


@pytest.mark.parametrize("change", [letterbox, subtitle, cut, fade])
def test_what_editors_do_is_not_a_certain_fault(bikes, change):
    assert found(change(bikes)).level != "certain"


def test_a_fault_in_some_frames_only_names_those(bikes):
    hit = (np.arange(T) >= 3) & (np.arange(T) < 8)
    result = found(faults.shear(bikes, hit, Y0, 288, np.full(T, 12)))
    assert result.kind == "shear"
    assert set(result.frames) <= {3, 4, 5, 6, 7}
    assert len(result.frames) >= 3


def test_rows_are_those_of_the_source_when_the_clip_is_upscaled(bikes):
    result = found(faults.upscaled(FAULTS["shear"](bikes), 4))
    assert result.kind == "shear"
    assert abs(result.rows[0] - 4 * Y0) <= 8
    assert result.rows[1] == 1151


@pytest.mark.parametrize(
    "clip",
    [
        np.zeros((4, 288, 512, 3), np.uint8),
        np.zeros((1, 64, 64, 3), np.uint8),
        np.full((2, 48, 80, 3), 255, np.uint8),
        np.random.default_rng(0).integers(0, 256, (3, 33, 47, 3)).astype(np.uint8),
        np.random.default_rng(0).integers(0, 256, (1, 300, 420, 3)).astype(np.uint8),
    ],
)
def test_any_clip_gives_finite_scores(clip):
    result = found(clip)
    json.dumps(result.to_dict(), allow_nan=False)
    assert set(result.findings) == set(DETECTORS)


def test_noise_of_thumbnail_size_is_neither_stripes_nor_a_noise_band():
    clip = np.random.default_rng(2).integers(0, 256, (9, 64, 64, 3)).astype(np.uint8)
    findings = found(clip).findings
    assert findings["stripes"][0] < 1
    assert findings["noise_band"][0] < 1


def test_a_small_displacement_in_a_soft_picture_is_found(bunny):
    import cv2

    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 3) for frame in bunny])
    finding = DETECTORS["shear"].find(_evidence(faults.shear(soft, ALL, Y0, 288, np.full(T, 3))))
    assert finding.raw > DETECTORS["shear"].suspect
    assert abs(finding.rows[0] - Y0) <= 1


@pytest.mark.parametrize("shift", [-20, 6])
def test_a_torn_thing_on_plain_ground_is_found(shift):
    """The step is far larger than those around it, and a third of the width has all there is to see."""
    clip = np.full((T, 288, 512, 3), 232, np.uint8)
    clip[:, :, 170:340] = pan(2, T)[:, :, 170:340]
    assert found(clip, names=["shear"]).level == "none"
    torn = found(faults.shear(clip, ALL, 226, 288, np.full(T, shift)), names=["shear"])
    assert torn.level == "certain"
    assert abs(torn.rows[0] - 226) <= 1


def test_slip_is_the_displacement_of_a_row():
    from cogexp.metrics.artifacts.slip import slips

    smooth = texture(sigma=6)[..., 0]
    moved = smooth.copy()
    moved[150:] = np.roll(smooth[150:], 2, axis=1)
    local = slips(np.stack([smooth, moved]).astype(np.float32))
    assert np.median(np.abs(local[1, 149] - local[0, 149])) == pytest.approx(2, abs=0.4)


def test_a_ticker_is_no_noise_band(bikes):
    from tests.metrics.edits import ticker

    assert found(ticker(bikes)).findings["noise_band"][0] < 1


def test_an_empty_generation_is_black():
    assert found(np.zeros((5, 288, 512, 3), np.uint8)).kind == "black"


def test_the_record_keeps_its_keys(bikes):
    plain = found(FAULTS["shear"](bikes)).to_dict()
    assert set(plain) == {"level", "kind", "score", "rows", "columns", "frames", "detectors"}
    assert set(plain["detectors"]) == set(DETECTORS)
    assert all(set(entry) == {"score", "level", "rows"} for entry in plain["detectors"].values())
    assert plain["score"] == max(entry["score"] for entry in plain["detectors"].values())
    clean = found(bikes).to_dict()
    assert clean["kind"] is None
    assert clean["rows"] is None
    assert clean["frames"] == []


def test_the_scale_is_the_same_for_all_detectors():
    for detector in DETECTORS.values():
        assert detector.usual < detector.suspect < detector.certain
        assert detector.score(detector.usual) == pytest.approx(0.2)
        assert 0 < detector.score(detector.usual - 1) < 0.2
        assert detector.score(detector.suspect) == pytest.approx(1)
        assert detector.score(detector.certain) == pytest.approx(2)


def test_default_tiles_are_where_diffusers_puts_them():
    def of(width, height):
        return default_tiles(EvalClip.collect([np.zeros((1, height, width, 3), np.uint8)], 8))

    assert of(512, 288) == Tiles(rows=(200,), columns=(288,))
    assert of(720, 480) == Tiles(rows=(200, 400), columns=(288, 576))
    assert of(352, 192) == Tiles()


@pytest.mark.parametrize("first", [Y0 - 8, Y0, Y0 + 14])
def test_a_duplicated_band_begins_at_its_first_row(bikes, first):
    result = found(faults.duplicated_band(bikes, ALL, first, first - (288 - first)))
    assert result.kind == "duplicated_band"
    assert abs(result.rows[0] - first) <= 2


def test_a_weaker_line_above_does_not_begin_the_band():
    rows, evidence = np.array([159, 242]), np.array([0.49, 0.71])
    assert band(rows, evidence, 288) == (242, 287)
    assert band(rows, np.array([0.65, 0.71]), 288) == (159, 241)
