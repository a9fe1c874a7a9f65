"""The report: what is in the file, and how it behaves in a browser where there is one."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cogexp.__main__ import main
from tests.browser import page_of
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
    from urllib.parse import unquote

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
    assert run["command"].startswith("python -m cogexp --config-path '")
    assert data["runs"][0]["per_frame"]["native/motion_px"] == [1.0, None, 2.1235]


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


@pytest.fixture(scope="module", params=[(1440, "light"), (390, "dark")], ids=["wide-light", "narrow-dark"])
def page(browser: Any, report: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The report, open; nothing may be said on its console, nothing may be fetched from a network."""
    width, scheme = request.param
    with page_of(browser, report.as_uri(), width=width, scheme=scheme) as (opened, _):
        yield opened


def test_in_a_browser_the_grid_plays_in_step(page: Any) -> None:
    page.locator("#grid").scroll_into_view_if_needed()
    page.wait_for_function("document.querySelectorAll('#grid-cells video[src]').length >= 2")
    page.click("#play")
    page.wait_for_function(
        "[...document.querySelectorAll('#grid-cells video[src]')]"
        ".filter(v => !v.paused && v.currentTime > 0.1).length >= 2"
    )
    page.wait_for_timeout(600)
    page.click("#play")
    times = page.evaluate(
        "[...document.querySelectorAll('#grid-cells video[src]')].map(v => [v.currentTime, v.duration])"
    )
    apart = [abs(time - times[0][0]) for time, _ in times]
    assert all(min(gap, times[0][1] - gap) < 0.3 for gap in apart)


def test_in_a_browser_filters_sorting_and_text(page: Any) -> None:
    rows = page.locator("#runs-table tbody tr")
    assert rows.count() == 16
    page.select_option("#filters select[aria-label=upscaler]", "lanczos")
    assert rows.count() == 8
    page.fill("#filters input[type=search]", "snow")
    assert rows.count() == 4
    page.fill("#filters input[type=search]", "window.HACKED")
    assert rows.count() == 4
    assert EVIL in rows.first.inner_text()
    assert page.evaluate("window.HACKED === undefined")
    page.click("#runs-table th button:has-text('seed')")
    page.click("#runs-table th button:has-text('seed')")
    assert page.locator("#runs-table th[aria-sort=ascending]").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.fill("#filters input[type=search]", "")
    page.select_option("#filters select[aria-label=upscaler]", "")
    assert rows.count() == 16


def test_in_a_browser_two_clips_lie_under_one_slider(page: Any) -> None:
    page.locator("#grid-cells figure:has(video)").first.click()
    page.wait_for_selector("#large[open]")
    page.evaluate(
        "(s => { s.value = 20; s.dispatchEvent(new Event('input')); })(document.getElementById('split'))"
    )
    assert "20%" in page.evaluate("document.getElementById('b').style.clipPath")
    assert page.evaluate("document.getElementById('a').src !== document.getElementById('b').src")
    page.click("#large button")
    assert page.locator("#large[open]").count() == 0


def test_in_a_browser_the_plots_are_drawn(page: Any) -> None:
    pytest.importorskip("plotly")
    page.wait_for_selector("#pareto .scatterlayer .trace")
    page.wait_for_selector("#curves .scatterlayer .trace")
