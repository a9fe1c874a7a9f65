"""The pictures of a study in the README, made anew: `python -m tests.study.pictures [OUTPUTS]`.

Runs `sweep=quick` and the README's main job into OUTPUTS (a temporary folder by default; what is there is not
computed again), then writes docs/report-wide.png, docs/report-narrow.png and docs/contact_sheet.png.
`--look FOLDER` writes pages of the report at both widths, light and dark, instead, with 4, 24 and 500 made-up
runs, too: for eyes, before a change of the page.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from cogexp.study import Query
from cogexp.study.report import write_report
from tests.browser import launched, page_of, wait
from tests.study.gallery import make_study

DOCS = Path(__file__).parents[2] / "docs"
WIDE, NARROW = (1440, 1130), (402, 885)
WIDE_SHOWN, NARROW_SHOWN, SHEET_SHOWN = 960, 268, 1200  # widths in the README, px
GAP = 16
RUNS = {4: {"prompts": 1, "seeds": 1}, 24: {}, 500: {"upscalers": ("none", "lanczos"), "prompts": 10}}


def shot(page: Any) -> Image.Image:
    """The window as it is."""
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def scaled(picture: Image.Image, width: int) -> Image.Image:
    return picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)


def show_videos(page: Any) -> None:
    """Scroll to the grid and wait for its clips, somewhere in their middle."""
    page.locator("#grid").scroll_into_view_if_needed()
    wait(page, "playable().length > 0 && playable().every(v => v.readyState >= 2)")
    page.evaluate("document.querySelector('#seek').value = 500")
    page.locator("#seek").dispatch_event("input")
    wait(page, "playable().every(v => !v.seeking && v.readyState >= 2)")


def wide(browser: Any, report: Path) -> Image.Image:
    """The top of the report: decision, settings and the first videos."""
    with page_of(browser, report.as_uri(), width=WIDE[0], height=WIDE[1]) as (page, _):
        show_videos(page)
        page.evaluate("window.scrollTo(0, 0)")
        return scaled(shot(page), WIDE_SHOWN)


def narrow(browser: Any, report: Path) -> Image.Image:
    """Four windows of a telephone, dark: the decision, videos, plots, and native against upscaled."""
    found = []
    width, height = NARROW
    with page_of(browser, report.as_uri(), width=width, height=height, scheme="dark") as (page, _):
        show_videos(page)
        for place in (None, "#grid", "#plots"):
            page.evaluate("window.scrollTo(0, 0)")
            if place:
                page.evaluate("p => document.querySelector(p).scrollIntoView()", place)
            page.wait_for_timeout(1500)  # plots and posters come with the scrolling
            found.append(scaled(shot(page), NARROW_SHOWN))
        page.locator("#grid-cells figure:has(video)").last.click()
        page.click("#pair")
        wait(page, "[a, b].every(v => v.readyState >= 2)")
        found.append(scaled(shot(page), NARROW_SHOWN))
    joined = Image.new("RGB", (sum(p.width + GAP for p in found) - GAP, found[0].height), "white")
    for index, picture in enumerate(found):
        joined.paste(picture, (index * (picture.width + GAP), 0))
    return joined


def cogexp(outputs: Path, *words: str) -> None:
    subprocess.run([sys.executable, "-m", "cogexp", *words, f"outputs={outputs}"], check=True)


def for_the_readme(outputs: Path) -> None:
    cogexp(outputs, "sweep=quick", "tracking=off")
    cogexp(outputs, "resolution=512x288", "upscaler=esrgan", "tracking=off")
    sheet = next(outputs.glob("runs/nano-512x288-esrgan-s0-*/contact_sheet.png"))
    pictures = {"contact_sheet": scaled(Image.open(sheet).convert("RGB"), SHEET_SHOWN)}
    with launched() as browser:
        report = outputs / "reports" / "quick.html"
        pictures |= {"report-wide": wide(browser, report), "report-narrow": narrow(browser, report)}
    for name, picture in pictures.items():
        file = DOCS / f"{name}.png"
        picture.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(file, optimize=True)
        print(file)


def to_look_at(outputs: Path, folder: Path) -> None:
    """Whole pages, at both widths, light and dark."""
    folder.mkdir(parents=True, exist_ok=True)
    reports = {}
    for runs, options in RUNS.items():
        home = outputs / str(runs)
        sizes = ("256x144", "384x224", "512x288", "640x352", "720x480") if runs == 500 else None
        make_study(home, **options, **({"sizes": sizes, "seeds": 5} if sizes else {}))  # type: ignore[arg-type]
        reports[str(runs)] = home / "report.html"
        write_report(home, reports[str(runs)], Query())
    if (own := outputs / "reports" / "quick.html").is_file():
        reports["quick"] = own
    with launched() as browser:
        for name, report in reports.items():
            for width, scheme in ((1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")):
                with page_of(browser, report.as_uri(), width=width, scheme=scheme) as (page, _):
                    show_videos(page)
                    for place in ("#plots", "#costs", "#artifacts", "#runs"):
                        page.locator(place).scroll_into_view_if_needed()
                        page.wait_for_timeout(700)
                    page.evaluate("window.scrollTo(0, 0)")
                    page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.study.pictures")
    parser.add_argument("outputs", nargs="?", type=Path)
    parser.add_argument("--look", type=Path, metavar="FOLDER")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outputs = (asked.outputs or Path(folder)).resolve()
        if asked.look:
            to_look_at(outputs, asked.look)
        else:
            for_the_readme(outputs)


if __name__ == "__main__":
    main()
