"""The report: what is in the file, and how it behaves in a browser where there is one."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from cogexp.__main__ import main
from cogexp.spec import SpecError
from cogexp.study import Query
from cogexp.study.report import write_report
from tests.study.records import make_record, write_all, write_clip

pytest.importorskip("jinja2")

EVIL = "<script>window.HACKED = 1</script></script><img src=x onerror='window.HACKED=1'>"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sizes x two upscalers x two prompts x two seeds; one ran out of memory; one prompt is an attack."""
    outputs = tmp_path_factory.mktemp("report") / "out puts"
    clip = write_clip(outputs / "clip.mp4")
    for size, gain in (("512x288", 0.0), ("640x352", 5.0)):
        for upscaler in ("none", "lanczos"):
            for prompt in ("evil", "wolves"):
                for seed in (0, 1):
                    failed = (size, upscaler, seed) == ("640x352", "lanczos", 1)
                    made = make_record(
                        25.0 + gain + 0.1 * seed,
                        size=size,
                        upscaler=upscaler,
                        prompt=prompt,
                        seed=seed,
                        status="oom" if failed else "ok",
                    )
                    text = EVIL if prompt == "evil" else "two wolves & snow"
                    files = {"native": "native.mp4"} | ({"upscaled": "up.mp4"} if upscaler != "none" else {})
                    made = dataclasses.replace(
                        made,
                        spec={**made.spec, "prompt": {**made.spec["prompt"], "text": text}},
                        files={} if failed else files,
                        per_frame={} if failed else {"native/motion_px": [1.0, None, 2.123456789]},
                    )
                    write_all([made], outputs)
                    for file in made.files.values():
                        shutil.copy(clip, outputs / "runs" / made.run_id / file)
    assert main(["report", str(outputs)]) == 0
    return outputs / "reports" / "report.html"


def data_of(report: Path) -> dict[str, Any]:
    text = report.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_the_file_is_self_contained(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert "Recommended: " in text
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']?https?:", text)
    assert [path.name for path in report.parent.iterdir()] == ["report.html"]


def test_clips_are_linked_where_they_lie(report: Path) -> None:
    runs = data_of(report)["runs"]
    assert len(runs) == 16
    links = [run[side] for run in runs for side in ("native", "upscaled") if run[side]]
    assert len(links) == 8 + 2 * 6 - 0
    for link in links:
        assert (report.parent / unquote(link)).is_file()


def test_prompts_are_never_markup(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert "<script>window.HACKED" not in text
    assert "<img src=x" not in text
    assert any(run["text"] == EVIL for run in data_of(report)["runs"])


def test_the_decision_failures_and_commands_are_there(report: Path) -> None:
    data = data_of(report)
    assert data["choice"]["table"][0]["resolution"] == "640x352"
    assert data["choice"]["table"][0]["mark"] == "best"
    assert "ran out of memory" in report.read_text(encoding="utf-8")
    run = data["runs"][0]
    assert shlex.split(run["command"]) == [
        *("python", "-m", "cogexp", "--config-path"),
        str(report.parent.parent / "runs" / run["id"]),
        "force=true",
    ]
    assert data["runs"][0]["per_frame"]["native/motion_px"] == [1.0, None, 2.1235]


def test_every_run_with_a_clip_has_a_small_poster_of_its_first_frame(report: Path) -> None:
    import numpy as np
    from PIL import Image

    from cogexp.video import read

    for run in data_of(report)["runs"]:
        assert (run["poster"] is None) == (run["native"] is None)
        if run["poster"]:
            picture = base64.b64decode(run["poster"].removeprefix("data:image/jpeg;base64,"))
            assert len(picture) < 12_000
            small = Image.open(io.BytesIO(picture))
            first = Image.fromarray(read(report.parent / unquote(run["native"]), max_frames=1).frames[0])
            apart = np.asarray(first.resize(small.size), float) - np.asarray(small, float)
            assert np.sqrt((apart**2).mean()) < 12
    kept = report.parent.parent / "runs" / data_of(report)["runs"][0]["id"] / "poster.jpg"
    assert kept.is_file(), "the next report need not decode it again"


def test_a_clip_that_cannot_be_read_is_said_and_does_not_end_the_report(tmp_path: Path) -> None:
    made = dataclasses.replace(make_record(), files={"native": "native.mp4"})
    outputs = write_all([made], tmp_path / "outputs")
    (outputs / "runs" / made.run_id / "native.mp4").write_bytes(b"no video")
    remarks = write_report(outputs, tmp_path / "r.html", Query())
    assert [remark for remark in remarks if "native.mp4" in remark]
    assert data_of(tmp_path / "r.html")["runs"][0]["poster"] is None


def test_costs_are_means_by_setting_and_what_was_really_spent(report: Path) -> None:
    costs = data_of(report)["costs"]
    assert [(row["axes"]["resolution"], row["runs"], row["ok"]) for row in costs["settings"]] == [
        ("512x288", 4, 4), ("512x288", 4, 4), ("640x352", 4, 2), ("640x352", 4, 4)
    ]  # fmt: skip
    assert costs["settings"][0]["stages"]["denoise"] == {"seconds": 10.0, "peak": 8.0}
    assert (costs["spent"], costs["reused"]) == (16 * 100.0, 16 * 10.0)


def test_too_much_to_hold_in_one_file_is_refused(report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cogexp.study.report_media.EMBED_LIMIT_MB", 0)
    with pytest.raises(SpecError, match="--embed holds at most 0 MB"):
        write_report(report.parent.parent, report.with_name("all.html"), Query(), embed=True)
    assert not report.with_name("all.html").exists()


def test_runs_without_a_metric_have_a_page_too(tmp_path: Path) -> None:
    bare = dataclasses.replace(make_record(), scores={}, artifacts={}, skipped={})
    file = tmp_path / "page.html"
    assert main(["report", str(write_all([bare], tmp_path / "outputs")), "--out", str(file)]) == 0
    assert "No decision" in file.read_text(encoding="utf-8")


def test_wrong_requests(tmp_path: Path, report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    outputs = report.parent.parent
    for words, named in (
        (["report", str(tmp_path / "empty")], "record.json"),
        (["report", str(outputs), "maximize=clip_scor"], "nearest: clip_score"),
        (["report", str(outputs), "--out", str(tmp_path)], "FILE"),
    ):
        assert main(words) == 2
        assert named in capsys.readouterr().err
