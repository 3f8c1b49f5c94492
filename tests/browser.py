"""A real browser for tests of pages: Chromium, driven by Playwright.

Playwright's own browsers are not needed; any Chromium of the system will do.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

HOW_TO_GET_IT = (
    "NO BROWSER: pages were not tested. Install Chromium (Debian and Ubuntu: apt-get install"
    " chromium) or name one in CHROMIUM=/path/to/it."
)
WAIT_MS = 20_000
DESKTOP = (1280, 900)
SMALL = (320, 640)

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# As root, Chromium runs only without its own sandbox; nothing but our pages is opened.
_ARGUMENTS = ["--no-sandbox", "--disable-background-networking"]


def chromium_path() -> Path | None:
    """Return where a Chromium is, if there is one."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    return Path(found) if found else None


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Give a browser without a window."""
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium_path(), args=_ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a browser to all tests of a module, or skip them loudly.

    Not to all of a session: as long as Playwright runs, no other test of this process
    could call `asyncio.run`.
    """
    if chromium_path() is None:
        pytest.skip(HOW_TO_GET_IT)
    with open_browser() as opened:
        yield opened


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Give a browser of its own to one test: no cookies, desktop size."""
    opened = browser.new_context(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
    opened.set_default_timeout(WAIT_MS)
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """Give a tab; the test fails if a page breaks its own rules or its script does."""
    opened, troubles = context.new_page(), list[str]()

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            troubles.append(message.text)

    opened.on("console", note)
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    yield opened
    # The browser also tells of every 4xx as an error; those the tests look at themselves.
    assert [text for text in troubles if not text.startswith("Failed to load resource")] == []


def is_too_wide(page: Page) -> bool:
    """Say whether the page would have to be scrolled sideways."""
    wide: bool = page.evaluate(
        "document.scrollingElement.scrollWidth > document.documentElement.clientWidth"
    )
    return wide
