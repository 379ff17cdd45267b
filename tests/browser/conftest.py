"""Fixtures for tests in Chromium; they skip with the reason if it is missing."""

import shutil
from collections.abc import Iterator
from typing import NamedTuple

import pytest

FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
PATIENCE = 60_000  # milliseconds


class Watched(NamedTuple):
    """Console messages of a page, errors included, and the addresses that it requested."""

    messages: list[str]
    requests: list[str]


@pytest.fixture(scope="session")
def browser() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with playwright.sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=path, args=FLAGS.split())
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser) -> Iterator:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(PATIENCE)
    yield page
    page.close()


@pytest.fixture
def watched(page) -> Watched:
    seen = Watched([], [])
    page.on("console", lambda message: seen.messages.append(message.text))
    page.on("pageerror", lambda error: seen.messages.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    return seen


@pytest.fixture
def broken_images(page):
    """Return a function that counts the images of a page that are not displayed."""

    def count() -> int:
        return page.evaluate("[...document.images].filter(image => !image.complete || !image.naturalWidth).length")

    return count
