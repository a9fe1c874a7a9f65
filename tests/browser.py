"""Headless Chromium for tests of pages: one browser a session, pages that note what was said and asked.

The fixture `browser` lies in tests/conftest.py; it skips where playwright or a Chromium is missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# A container has no sandbox, no GPU and little shared memory, and the browser is to ask nobody for anything.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
TIMEOUT_MS = 240_000  # a machine that does much else at once is slow, not broken
LOCAL = ("file:", "data:", "blob:", "about:")


def chromium() -> str | None:
    """The browser of this machine, if there is one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def launched() -> Iterator[Any]:
    """A headless browser; skips the test that wants it where it cannot be had."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = chromium()
    if program is None:
        pytest.skip("there is no Chromium on this machine (.ci/run installs it where it may)")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield opened
        finally:
            opened.close()


@dataclass
class Heard:
    """What a page said on its console, which errors it threw, and which addresses it asked for."""

    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Nothing said, nothing thrown, nothing asked of a network."""
        assert self.said == []
        assert [url for url in self.asked if not url.startswith(LOCAL)] == []


@contextmanager
def page_of(
    browser: Any, url: str, *, width: int = 1440, height: int = 900, scheme: str = "light"
) -> Iterator[tuple[Any, Heard]]:
    """(page, what it was heard to say) of an open page, checked at the end. `scheme` is light or dark."""
    page, heard = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme), Heard()
    page.set_default_timeout(TIMEOUT_MS)
    page.on("console", lambda message: heard.said.append(message.text))
    page.on("pageerror", lambda error: heard.said.append(str(error)))
    page.on("request", lambda sent: heard.asked.append(sent.url))
    try:
        page.goto(url)
        yield page, heard
        heard.check()
    finally:
        page.close()


def wait(page: Any, expression: str) -> None:
    """Until the expression is true; asked by a timer, since a busy machine draws few frames."""
    # Not wait_for_function: it evaluates its text inside the page, which the page's own policy forbids.
    for _ in range(TIMEOUT_MS // 100):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"it did not come true: {expression}")
