"""The report and the model card as a browser shows them: whole, quiet, and asking nothing of any server."""

import io
import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_kit import HOSTILE, chart, facts

from goodbad_pipeline.evaluation.figures import confusion_matrix_figure, history_chart
from goodbad_pipeline.reporting.pages import render_card, write_card, write_report

pytestmark = [pytest.mark.browser, pytest.mark.no_cover]
HISTORY = pd.DataFrame(
    {
        "phase": ["head", "head", "all layers"],
        "loss": [0.9, 0.6, 0.2],
        "val_loss": [0.8, 0.5, 0.3],
        "accuracy": [0.6, 0.7, 0.9],
        "val_accuracy": [0.6, 0.8, 0.9],
        "learning_rate": 0.001,
        "kept": [False, False, True],
    }
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    stream = io.BytesIO()
    confusion_matrix_figure(np.array([0, 1]), np.array([0, 1]), ["bad", "good"]).savefig(stream)
    names = ("confusion_matrix", "image_sheet", "mistakes", "slices", "history")
    figures = dict.fromkeys(names, stream.getvalue())
    charts = {"slices": chart(), "history": json.loads(history_chart(HISTORY).to_json())}
    (folder / "report.html").write_text(write_report(facts(), figures, charts))
    (folder / "card.html").write_text(render_card(write_card(facts())))
    return folder


@pytest.mark.parametrize("name", ["report", "card"])
@pytest.mark.parametrize("width", [1280, 800, 500])
def test_a_page_is_complete_without_errors(pages: Path, page, watched, broken_images, name: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"file://{pages / name}.html")
    assert watched.messages == []
    assert [url for url in watched.requests if not url.startswith("data:")] == [f"file://{pages / name}.html"]
    assert page.evaluate("window.broken") is None
    assert page.get_by_text(HOSTILE).first.is_visible()
    assert broken_images() == 0
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [1280, 800])
def test_the_essentials_are_on_the_first_screen(pages: Path, page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"file://{pages / 'report'}.html")
    for text in ("goodbad version 7", "challenger", "Balanced accuracy", "Findings"):
        box = page.get_by_text(text).first.bounding_box()
        assert box["y"] + box["height"] < 800, text
    baselines = page.get_by_text("colour histogram", exact=True).first.bounding_box()
    assert baselines["y"] < 800
    images = page.get_by_alt_text("Accepted images of each class").bounding_box()
    assert images["y"] + images["height"] < 2 * 800


@pytest.mark.parametrize("width", [1280, 800, 500])
def test_the_interactive_history_replaces_the_figure_and_shows_as_much(pages: Path, page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"file://{pages / 'report'}.html")
    place = page.locator('.figure[data-name="history"]')
    place.locator(".main-svg").first.wait_for()
    place.locator("img").wait_for(state="detached")
    words = place.locator("text").all_text_contents()
    assert words.count("head") == words.count("all layers") == words.count("Epoch") == 2
    assert {"train", "validation", "kept epoch", "Loss", "Accuracy"} <= set(words)
    assert "Training history: kept epoch 3 of 3, val_loss 0.3000" in words
    boxes = [
        box.bounding_box() for box in place.locator(".xtitle, .x2title, .ytitle, .y2title, .legend, .gtitle").all()
    ]
    for one, other in combinations(boxes, 2):
        assert (
            one["x"] + one["width"] <= other["x"]
            or other["x"] + other["width"] <= one["x"]
            or one["y"] + one["height"] <= other["y"]
            or other["y"] + other["height"] <= one["y"]
        )


@pytest.mark.parametrize("width", [1280, 800])
def test_hovering_over_a_slice_shows_its_name_and_numbers(pages: Path, page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"file://{pages / 'report'}.html")
    place = page.locator('.figure[data-name="slices"]')
    place.locator(".point").first.wait_for()
    assert place.locator("img").count() == 0
    for point, text in ((0, "hair: red"), (1, HOSTILE)):
        place.locator(".point").nth(point).hover(force=True)
        page.locator(".hoverlayer .hovertext", has_text=text).wait_for()
    assert page.evaluate("window.broken") is None
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_scripts_the_images_stay(pages: Path, browser) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(f"file://{pages / 'report'}.html")
    assert page.locator('.figure[data-name="slices"] img').is_visible()
    page.close()
