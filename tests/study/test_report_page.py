"""The report in a browser: it plays in step, filters, compares, stays quick with 500 runs, says nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cogexp.study import Query
from cogexp.study.report import Grid, write_report
from tests.browser import page_of, wait
from tests.study.gallery import FPS, PROMPTS, make_study

pytest.importorskip("jinja2")

PLAYED = "[...document.querySelectorAll('#grid-cells video[src]')].map(v => v.currentTime)"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sizes x two upscalers x two prompts x two seeds; one ran out of memory; one prompt is an attack."""
    outputs = tmp_path_factory.mktemp("page") / "out puts"
    make_study(outputs, sizes=("256x144", "512x288"), prompts=2, seeds=2)
    file = outputs / "reports" / "report.html"
    write_report(outputs, file, Query())
    return file


@pytest.fixture(scope="module", params=[(1440, "light"), (390, "dark")], ids=["wide-light", "narrow-dark"])
def page(browser: Any, report: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The report, open; nothing may be said on its console, nothing may be fetched from a network."""
    width, scheme = request.param
    with page_of(browser, report.as_uri(), width=width, scheme=scheme) as (opened, _):
        yield opened


def show_grid(page: Any, clips: int) -> None:
    page.locator("#grid").scroll_into_view_if_needed()
    wait(page, f"playable().filter(v => v.readyState >= 2).length >= {clips}")


def test_the_page_fits_its_window(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(map(int, re.findall(r"\d+", background)[:3])) > 384
    assert light == page.evaluate("matchMedia('(prefers-color-scheme: light)').matches")


def test_the_grid_is_labelled_and_plays_in_step(page: Any) -> None:
    show_grid(page, 2)
    heads = page.locator("#grid-cells .head").all_inner_texts()
    assert [head.split()[-1] for head in heads] == ["256x144", "512x288", "none", "lanczos"]
    page.click("#play")
    wait(page, f"{PLAYED}.filter(t => t > 0.1).length >= 2")
    for _ in range(2):  # every clip goes on, however few frames a busy machine draws
        wait(page, f"(before => {PLAYED}.every((t, i) => t !== before[i]))({page.evaluate(PLAYED)})")
    page.click("#play")
    wait(page, f"(t => Math.max(...t) - Math.min(...t) < 0.01)({PLAYED})")


def test_one_frame_at_a_time(page: Any) -> None:
    show_grid(page, 2)
    page.evaluate("all.seek(0)")
    for frame in (1, 2):
        page.click("#on")
        assert page.evaluate(PLAYED) == [pytest.approx((frame + 0.5) / FPS, abs=0.01)] * len(
            page.evaluate(PLAYED)
        )
    page.click("#back")
    assert page.evaluate("all.state.at") == pytest.approx(1.5 / FPS, abs=0.01)


def test_a_clip_under_the_pointer_plays_alone(page: Any) -> None:
    show_grid(page, 2)
    page.locator("#grid-cells figure:has(video[src])").first.hover()
    wait(page, "[...document.querySelectorAll('#grid-cells video')].filter(v => !v.paused).length === 1")
    page.mouse.move(0, 0)
    wait(page, "[...document.querySelectorAll('#grid-cells video')].every(v => v.paused)")


def test_the_axes_of_the_grid_are_chosen(page: Any) -> None:
    choose = "#grid-controls select[aria-label=%s]"
    page.select_option(choose % "blocks", "prompt")
    assert page.locator("#grid-cells .board").count() == 2
    page.select_option(choose % "rows", "clip")
    assert page.locator("#grid-cells .head.row").all_inner_texts()[0].split() == ["clip", "delivered"]
    page.select_option(choose % "upscaler", "lanczos")
    page.select_option(choose % "seed", "1")
    missing = page.locator("#grid-cells figure.none")
    assert missing.count() == 4, "the cell that ran out of memory, native and delivered, in two blocks"
    assert missing.first.inner_text() == "oom: denoise: CUDA out of memory"
    page.select_option(choose % "blocks", "none")
    page.select_option(choose % "rows", "upscaler")
    page.select_option(choose % "seed", "0")
    assert page.locator("#grid-cells figure:has(video)").count() == 4


def test_filters_sorting_and_text(page: Any) -> None:
    rows = page.locator("#runs-table tbody tr")
    search = "#filters input[type=search]"
    assert rows.count() == 16
    page.select_option("#filters select[aria-label=upscaler]", "lanczos")
    assert rows.count() == 8
    page.fill(search, "snow")
    assert rows.count() == 4
    page.fill(search, "window.HACKED")
    assert rows.count() == 4
    assert PROMPTS["markup"] in rows.first.inner_text()
    assert page.evaluate("window.HACKED === undefined")
    page.select_option("#filters select[aria-label=upscaler]", "")
    page.fill(search, "seconds<10 snow")
    assert rows.count() == 2
    page.fill(search, "status")
    page.fill(search, "")
    page.click("#runs-table th button:has-text('clip_score')")
    assert page.locator("#runs-table th[aria-sort=descending]").count() == 1
    column = page.locator("#runs-table th").all_inner_texts().index("clip_score ↓")
    values = [
        float(text)
        for text in page.locator(f"#runs-table td:nth-child({column + 1})").all_inner_texts()
        if text != "-"
    ]
    assert len(values) == 14
    assert values == sorted(values, reverse=True)
    page.check("#filters label:has-text('stages') input")
    assert "denoise s" in page.locator("#runs-table th").all_inner_texts()
    page.uncheck("#filters label:has-text('stages') input")


def test_native_against_upscaled_under_one_slider(page: Any) -> None:
    show_grid(page, 2)
    page.evaluate("scrollTo(0, document.querySelector('#grid-cells').offsetTop)")
    page.locator(".board > :nth-child(8)").click()  # 256x144, lanczos
    page.wait_for_selector("#large[open]")
    assert page.locator("#name-a").inner_text().endswith("native")
    assert page.locator("#name-b").inner_text().endswith("upscaled")
    wait(page, "[a, b].every(v => v.currentTime > 0.1)")
    page.evaluate(
        "(s => { s.value = 20; s.dispatchEvent(new Event('input')); })(document.getElementById('split'))"
    )
    assert "20%" in page.evaluate("document.getElementById('half-b').style.clipPath")
    box = page.locator("#stage").bounding_box()
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 20)
    assert page.evaluate("pair.split") == pytest.approx(75, abs=1)
    page.check("#difference")
    assert page.evaluate("getComputedStyle(document.getElementById('half-b')).mixBlendMode") == "difference"
    page.uncheck("#difference")
    options = page.locator("#pick-b option").all_inner_texts()
    assert len(options) == 6, "the clips of this prompt and seed: four native, two upscaled"
    page.select_option("#pick-b", label="512x288 · none · native")
    assert page.evaluate("a.src !== b.src")
    page.click("#pair")
    assert page.locator("#name-b").inner_text() == "B: 256x144 · lanczos · upscaled"
    page.click("#large > form button")
    assert page.locator("#large[open]").count() == 0
    assert page.evaluate("!a.hasAttribute('src') && !b.hasAttribute('src')")


def test_a_run_s_details_repeat_it(page: Any) -> None:
    page.locator("#runs-table .open").first.click()
    text = page.locator("#details-body").inner_text()
    assert "python -m cogexp --config-path '" in text
    assert "denoise" in text
    page.click("#details > form button")


def test_the_plots_are_drawn(page: Any) -> None:
    pytest.importorskip("plotly")
    for plot, mark in (("pareto", "scatterlayer"), ("curves", "scatterlayer"), ("cost-plot", "barlayer")):
        page.locator(f"#{plot}").scroll_into_view_if_needed()
        page.wait_for_selector(f"#{plot} .{mark} .trace", state="attached")
    width = page.evaluate("document.querySelector('#cost-plot .main-svg').getBoundingClientRect().width")
    assert width == pytest.approx(page.evaluate("document.getElementById('cost-plot').clientWidth"), abs=2)


def test_a_plot_stays_whole_when_the_window_changes(page: Any) -> None:
    pytest.importorskip("plotly")
    page.locator("#cost-plot").scroll_into_view_if_needed()
    page.wait_for_selector("#cost-plot .barlayer .trace", state="attached")
    size = page.viewport_size
    page.set_viewport_size({"width": size["width"], "height": size["height"] + 700})
    page.wait_for_timeout(500)
    inside = (
        "[document.getElementById('cost-plot').clientHeight,"
        " document.querySelector('#cost-plot .main-svg').getBoundingClientRect().height]"
    )
    wait(page, f"(([box, plot]) => box + 2 >= plot && plot > 200)({inside})")  # all but its border
    page.set_viewport_size(size)


def test_curves_come_from_all_settings(page: Any) -> None:
    pytest.importorskip("plotly")
    many = "Array.from({length: 60}, (_, i) => ({axes: {resolution: String(Math.floor(i / 20))}}))"
    page.evaluate(f"window.MANY = {many}.map((run) => ({{...DATA.runs[0], ...run}}))")
    chosen = page.evaluate("spread(MANY, 24).map((run) => MANY.indexOf(run))")
    named = page.evaluate("new Set(spread(MANY, 24).map(named)).size")
    assert (len(chosen), named) == (24, 3)
    assert chosen == sorted(chosen)


def test_one_file_with_its_clips_inside_needs_no_folder(browser: Any, report: Path, tmp_path: Path) -> None:
    write_report(report.parent.parent, report.with_name("all.html"), Query(), embed=True)
    alone = report.with_name("all.html").rename(tmp_path / "all.html")
    with page_of(browser, alone.as_uri()) as (page, heard):
        show_grid(page, 4)
        page.click("#play")
        wait(page, f"{PLAYED}.filter(t => t > 0.1).length >= 4")
        assert [url for url in heard.asked if url.startswith("file:")] == [alone.as_uri()]


def test_a_page_opens_with_the_grid_that_was_asked_for(browser: Any, report: Path) -> None:
    file = report.with_name("asked.html")
    write_report(
        report.parent.parent, file, Query(), grid=Grid(rows="prompt", columns="clip", fixed=(("seed", "1"),))
    )
    with page_of(browser, file.as_uri()) as (page, _):
        heads = page.locator("#grid-cells .head").all_inner_texts()
        assert [head.split() for head in heads] == [
            ["clip", "delivered"], ["clip", "native"], ["prompt", "markup"], ["prompt", "wolves"]
        ]  # fmt: skip
        assert page.input_value("#grid-controls select[aria-label=seed]") == "1"


def test_500_runs_load_only_what_is_seen(browser: Any, tmp_path: Path) -> None:
    """Counted, not timed: clips that have a source, of however many cells, and none that left the view."""
    outputs = tmp_path / "outputs"
    sizes = ("256x144", "384x224", "512x288", "640x352", "720x480")
    assert len(make_study(outputs, sizes=sizes, prompts=10, seeds=5)) == 500
    file = outputs / "reports" / "report.html"
    started = time.process_time()
    write_report(outputs, file, Query())
    print(f"500 runs: {time.process_time() - started:.1f} CPU s, {file.stat().st_size / 1e6:.1f} MB")
    with page_of(browser, file.as_uri(), width=800, height=600, scheme="dark") as (page, heard):
        assert page.locator("#runs-table tbody tr").count() == 500
        page.wait_for_timeout(300)
        assert len({url for url in heard.asked if url.endswith(".mp4")}) <= 10, (
            "those of the grid, if in view"
        )
        page.select_option("#grid-controls select[aria-label=rows]", "prompt")
        page.select_option("#grid-controls select[aria-label=blocks]", "seed")
        assert page.locator("#grid-cells figure").count() == 250
        posters = page.locator("#grid-cells video[poster^='data:image/jpeg']").count()
        assert posters == page.locator("#grid-cells video").count() > 200
        show_grid(page, 3)
        counts = [page.locator("#grid-cells video[src]").count()]
        for _ in range(8):
            page.mouse.wheel(0, 600)
            page.wait_for_timeout(100)
            counts.append(page.locator("#grid-cells video[src]").count())
        assert 0 < max(counts) <= 48
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        wait(page, "document.querySelectorAll('#grid-cells video[src]').length === 0")
