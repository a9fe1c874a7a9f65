"""The evaluation command: its figures on known scores, and the whole on a small folder."""

import json

import numpy as np
import pytest

from cogexp.metrics import ffmpeg_filters
from cogexp.metrics.artifacts.detect import DETECTORS
from cogexp.metrics.evaluate import auc, evaluate, found_at, judge_all, main, markdown
from cogexp.metrics.judged import OWN, judge
from cogexp.video import Writer
from tests import faults
from tests.metrics.clips import shipped


def test_auc_of_known_scores():
    assert auc([2, 3], [0, 1]) == 1.0
    assert auc([0, 1], [2, 3]) == 0.0
    assert auc([1, 1], [1, 1]) == 0.5
    assert auc([0, 2], [1]) == 0.5


def test_auc_is_the_trapezoid_under_the_curve():
    rng = np.random.default_rng(0)
    faulty, clean = rng.normal(1, 1, 60).round(1), rng.normal(0, 1, 80).round(1)
    cuts = np.sort(np.unique(np.concatenate([faulty, clean, [-99, 99]])))[::-1]
    tpr = [np.mean(faulty >= cut) for cut in cuts]
    fpr = [np.mean(clean >= cut) for cut in cuts]
    area = sum((fpr[i + 1] - fpr[i]) * (tpr[i + 1] + tpr[i]) / 2 for i in range(len(cuts) - 1))
    assert auc(faulty, clean) == pytest.approx(area)


def test_found_at_lets_that_share_of_clean_clips_through():
    clean = list(range(100))
    assert found_at([98.5, 99.5], clean, 0.01) == 1.0
    assert found_at([97.5, 98.0], clean, 0.01) == 0.0


def test_every_kind_has_detectors_that_exist():
    assert set(OWN) >= set(faults.FAULTS)
    assert all(name in DETECTORS for names in OWN.values() for name in names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("clips")
    clip = shipped("bikes", 9, (512, 288))
    torn = faults.shear(clip, np.ones(9, bool), 251, 288, np.full(9, 12))
    frozen = faults.freeze(clip, 3, 4)
    entries = []
    for name, frames, label, kind, params in (
        ("a.mp4", clip, "clean", "clean", {}),
        ("b.mp4", clip[:, :, ::-1], "clean", "clean", {}),
        ("c.mp4", torn, "inj", "shear", {"y0": 251}),
        ("d.mp4", frozen, "inj", "freeze", {}),
    ):
        with Writer(out / name, 8, crf=10) as writer:
            writer.write(np.ascontiguousarray(frames))
        tags = ["hard"] if name == "b.mp4" else []
        entries.append({"file": name, "label": label, "type": kind, "tags": tags, "params": params})
    (out / "manifest.json").write_text(json.dumps(entries))
    return out


def test_a_folder_is_judged(folder):
    results, alarms = evaluate(judge_all(folder, filters=False))
    shear = next(r for r in results if r.kind == "shear")
    assert shear.auc_own == shear.auc_common == 1.0
    assert shear.certain == 1.0
    assert shear.row_error_median == 0
    assert shear.best_filter_auc is None
    assert alarms["plain clips"] == alarms["hard clips"] == 1
    assert alarms["plain certain"] == alarms["hard certain"] == 0
    assert "| shear | 1 | 1.000 |" in markdown(results, alarms)


@pytest.mark.parametrize(
    ("lines", "error"), [({"y0": 251}, 0), ({"y0": 200, "y1": 251}, 0), ({"y0": 240}, 11)]
)
def test_the_row_error_is_counted_from_the_nearer_line_of_a_band(folder, lines, error):
    entry = {"file": "c.mp4", "label": "inj", "type": "shear", "params": lines}
    assert judge(folder, entry, filters=False).row_error == error


@pytest.mark.skipif(bool(ffmpeg_filters.unavailable()), reason="this PyAV lacks one of the filters")
def test_ffmpegs_filters_see_a_freeze(folder):
    frozen, moving = (ffmpeg_filters.filter_scores(folder / name) for name in ("d.mp4", "a.mp4"))
    assert frozen["freezedetect"] > moving["freezedetect"]
    assert set(frozen) >= {
        "VREP max",
        "TOUT mean",
        "blockdetect max",
        "blurdetect mean",
        "siti (temporal) max",
    }


def test_the_command_prints_json_and_refuses_a_folder_without_a_manifest(folder, tmp_path, capsys):
    assert main([str(folder), "--json", "--no-ffmpeg"]) == 0
    kinds = json.loads(capsys.readouterr().out)["kinds"]
    assert [row["kind"] for row in kinds] == ["shear", "freeze"]
    assert main([str(tmp_path)]) == 2
    assert "manifest.json" in capsys.readouterr().err
