"""The review of labels in Chromium, by keyboard, with a server that is killed."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from cli_runner import kedro_run
from review_kit import make_reviewed
from test_browser import _wait_for, free_port

from goodbad_pipeline.images.corrections import read_corrections

IMAGE = re.compile("side=1200")  # the request for the image to review

pytestmark = [pytest.mark.browser, pytest.mark.no_cover]


@pytest.fixture
def reviewed(tmp_path: Path) -> Path:
    return make_reviewed(tmp_path / "project", groups=18)


@contextmanager
def serving(project: Path, port: int) -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-m", "goodbad_pipeline.app", "--port", str(port), "--who", "Ann"]
    server = subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://127.0.0.1:{port}", server)
        yield server
    finally:
        server.kill()
        server.wait(20)


def corrections(project: Path) -> pd.DataFrame:
    file = project / "data/01_raw/characters.corrections.csv"
    return read_corrections(file if file.exists() else None)


def opened(page, port: int) -> None:
    page.goto(f"http://127.0.0.1:{port}/#review")
    page.locator("#counts", has_text="decided").wait_for()


def press(page, key: str) -> str:
    """Press a key for the shown image, without the rest of its group; return its path once another is shown."""
    page.locator("#whole").evaluate("box => { box.checked = false; }")
    path = page.locator("#path").text_content()
    page.keyboard.press(key)
    page.wait_for_function("path => document.getElementById('path').textContent !== path", arg=path)
    return path.rpartition(" (")[0]


def test_a_hundred_decisions_by_keyboard_survive_a_kill_and_the_next_run_applies_them(
    reviewed: Path, page, watched
) -> None:
    port, asked = free_port(), []
    with serving(reviewed, port) as server:
        opened(page, port)
        asked += [press(page, "12xk"[number % 4]) for number in range(50)]
        assert watched.messages == [
            "Failed to load resource: the server responded with a status of 404 (Not Found)"  # there is no model
        ]
        server.send_signal(signal.SIGKILL)
        server.wait(20)
        page.keyboard.press("k")
        page.locator("#message.failed", has_text="Not saved: the server cannot be reached").wait_for()
        assert len(corrections(reviewed)) == 50
    with serving(reviewed, port):
        asked.append(press(page, "k"))  # the page that stayed open goes on
        opened(page, port)
        asked += [press(page, "12xk"[number % 4]) for number in range(49)]
        page.locator("#counts", has_text="100 of 107 decided").wait_for()
    rows = corrections(reviewed)
    assert len(asked) == len(set(asked)) == len(rows) == rows["image_id"].nunique() == 100
    assert set(rows["who"]) == {"Ann"}
    kedro_run(reviewed, "data")
    labels = pd.read_parquet(reviewed / "data/03_primary/labels.parquet").set_index("image_id")
    report = pd.read_csv(reviewed / "data/03_primary/corrections.csv", dtype=str)
    assert len(report) == (rows["keep"] == "").sum()
    for row in rows[(rows["exclude"] == "")].itertuples():
        if row.image_id in labels.index:  # else it became a near-duplicate with two labels
            assert labels.loc[row.image_id, "label"] == row.label
    assert not set(rows.loc[rows["exclude"] != "", "image_id"]) & set(labels.index)


def test_accept_pick_group_skip_and_undo(reviewed: Path, page) -> None:
    port = free_port()
    with serving(reviewed, port):
        opened(page, port)
        assert "Probably wrong" in page.locator("#given").text_content()
        page.locator("#group-text", has_text="Decide also the other 2 of group").wait_for()
        page.keyboard.press("a")
        page.locator("#message", has_text="relabelled to good, with 2 more of the group").wait_for()
        assert corrections(reviewed)["label"].tolist() == ["good"] * 3
        page.keyboard.press("u")
        page.locator("#message", has_text="undone").wait_for()
        assert corrections(reviewed).empty
        first = press(page, "s")
        page.keyboard.press("g")
        page.keyboard.press("r")
        page.keyboard.type("oo")
        page.keyboard.press("Enter")
        page.locator("#message", has_text="relabelled to good").wait_for()
        page.locator("#filter-issue").select_option("dark")
        page.locator("#counts", has_text="0 of 1 decided").wait_for()
        page.keyboard.press("x")
        page.locator("#left", has_text="Nothing is left to review.").wait_for()
        page.locator("#filter-issue").select_option("")
        page.locator("#path", has_text=first).wait_for()
    assert set(corrections(reviewed)["exclude"]) == {"", "true"}


def test_keys_are_ignored_until_the_image_is_shown_and_enter_without_a_class(reviewed: Path, page) -> None:
    port, held = free_port(), []
    with serving(reviewed, port):
        opened(page, port)
        page.keyboard.press("g")
        page.keyboard.press("r")
        page.keyboard.press("Enter")
        page.keyboard.press("Escape")
        with page.expect_request(IMAGE):
            page.route(IMAGE, lambda route: held.append(route))  # noqa: PLW0108 - Playwright inspects the signature
            page.keyboard.press("k")
        page.keyboard.press("x")
        page.wait_for_timeout(500)  # a decision takes less
        assert corrections(reviewed)["keep"].tolist() == ["true"]
        held[0].continue_()
        page.unroute(IMAGE)
        page.locator("#message", has_text="kept as bad").wait_for()
        press(page, "x")
    assert corrections(reviewed)["exclude"].tolist()[:2] == ["", "true"]


def test_two_pages_ask_for_the_same_image_and_the_first_decision_stays(reviewed: Path, page, browser) -> None:
    port = free_port()
    with serving(reviewed, port):
        opened(page, port)
        other = browser.new_page()
        opened(other, port)
        press(page, "k")
        press(other, "x")
        other.locator("#message.failed", has_text="Decided already: kept as bad by Ann").wait_for()
        other.close()
    assert corrections(reviewed)["keep"].tolist() == ["true"]


@pytest.mark.parametrize("width", [1280, 800])
def test_the_review_fits_the_window_and_shows_every_image(reviewed: Path, page, broken_images, width: int) -> None:
    port = free_port()
    page.set_viewport_size({"width": width, "height": 800})
    with serving(reviewed, port):
        opened(page, port)
        page.locator("#nearest img").nth(5).wait_for()
        page.wait_for_function("[...document.querySelectorAll('#case img')].every(image => image.complete)")
        page.wait_for_load_state("networkidle")
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=f"{folder}/review_{width}.png")
        assert page.locator("#review img").evaluate_all("all => all.every(image => image.naturalWidth > 0)")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        actions = page.locator("#actions").bounding_box()
        assert actions["y"] + actions["height"] <= 800
        page.goto(f"http://127.0.0.1:{port}/")
        page.locator("#classes", has_text="'goodbad' has no version with the alias 'champion'").wait_for()
