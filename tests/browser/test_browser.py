"""MLflow's UI and Kedro-Viz in a real browser, over a project that has just been run."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cli_runner import kedro_run, runs
from factories import PROJECT, make_project

from goodbad_pipeline.evaluation.promotion import Check, Decision
from goodbad_pipeline.registry.models import set_alias

pytestmark = [pytest.mark.browser, pytest.mark.no_cover]
BIN = Path(sys.executable).parent
HOSTILE = "<img src=x onerror=window.broken=1>"
FIGURE = 1000
"""Pixels: the width of every figure."""
SERVE_FILES = """
import sys; from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[-1])), SimpleHTTPRequestHandler).serve_forever()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """One whole run over images one of whose names, and one of whose columns, would run a script."""
    folder = make_project(tmp_path_factory.mktemp("browser") / "project")
    root = folder / "data/01_raw/characters"
    rows = (root / "labels.csv").read_text().replace(",rain", f",{HOSTILE} [x](javascript:window.broken=1)")
    (root / "labels.csv").write_text(f"{rows}={HOSTILE}.png,bad,bad 0,sun\n")
    (root / f"={HOSTILE}.png").write_bytes(b"nothing to see")
    kedro_run(folder)
    return folder


def free_port() -> int:
    """A free port of 127.0.0.1 below 49152: Kedro-Viz refuses those above, which the kernel likes to give."""
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port between 20000 and 30000")


@contextmanager
def served(project: Path, *command: str) -> Iterator[str]:
    """Run a server of the project on a free port of 127.0.0.1 and give its address once it answers."""
    port = free_port()
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    server = subprocess.Popen(
        [*command, "--port", str(port)],
        cwd=project,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, server)
        yield address
    finally:
        with suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def _wait_for(address: str, server: subprocess.Popen) -> None:
    for _ in range(1000):  # a busy machine takes minutes to import TensorFlow
        try:
            urllib.request.urlopen(address, timeout=5)
        except (urllib.error.URLError, OSError):
            assert server.poll() is None, "the server ended before it answered"
            time.sleep(0.5)
        else:
            return
    raise TimeoutError(address)


def run_id(project: Path) -> str:
    (run,) = runs(project)
    return run.info.run_id


@pytest.fixture(scope="module")
def mlflow_ui(project: Path) -> Iterator[str]:
    with served(project, str(BIN / "kedro"), "mlflow", "ui") as address:
        yield address


SECTIONS = """() => [...document.querySelectorAll("div")]
    .filter(count => /^\\(\\d+\\)$/.test(count.textContent) && count.previousElementSibling)
    .map(count => `${count.previousElementSibling.textContent} ${count.textContent}`)"""
"""Sections of MLflow's charts, each with its number of charts."""


def test_mlflow_lists_runs_with_accuracy_auc_and_phi(project: Path, mlflow_ui: str, page) -> None:
    """At the address that the README gives, in a window of 1280 pixels that MLflow's side panels narrow."""
    (shown,) = re.findall(r"<http://127.0.0.1:5000(/\S+)>", (PROJECT / "README.md").read_text())
    metrics = json.loads((project / "data/08_reporting/test_metrics.json").read_text())
    page.goto(f"{mlflow_ui}{shown}")
    table = page.get_by_role("treegrid").or_(page.locator(".ag-root")).first
    page.get_by_text("characters · goodbad · lite φ=-7 48 px").first.wait_for()
    page.get_by_text("MLflow Assistant").first.wait_for()
    expected = {name: metrics[name] for name in ("test_accuracy", "test_roc_auc")} | {"network.phi": -7}
    right = table.bounding_box()["x"] + table.bounding_box()["width"]
    for name, value in expected.items():
        header = page.get_by_role("columnheader", name=name).first.bounding_box()
        assert header["x"] + header["width"] <= right + 1, f"{name} is outside the table"
        cell = page.locator(f"[role=gridcell][col-id*='{name}']").first
        assert float(cell.text_content()) == pytest.approx(value)


def test_mlflow_shows_a_runs_parameters_metrics_and_figures(project: Path, mlflow_ui: str, page) -> None:
    page.goto(f"{mlflow_ui}/#/experiments/1/runs/{run_id(project)}")
    for text in (
        "main/test_accuracy",
        "test baselines/histogram_test_roc_auc",
        "model.phi",
        "training.augmentation.flip",
    ):
        page.get_by_text(text, exact=True).first.wait_for(state="attached")
    page.goto(f"{mlflow_ui}/#/experiments/1/runs/{run_id(project)}/model-metrics")
    page.get_by_text("test baselines", exact=True).wait_for(state="attached")
    sections = page.evaluate(SECTIONS)
    assert sections[0] == "main (8)"
    assert sections[1:-1] == sorted(sections[1:-1])
    assert sections[-1].startswith("Model metrics")  # old names of the main ones, and metrics without a section
    page.goto(f"{mlflow_ui}/#/experiments/1/runs/{run_id(project)}/artifacts/figures/confusion_matrix.png")
    assert width_of(page.locator("img[src*='confusion_matrix'], img[src^='blob:']").first) == FIGURE


def test_mlflow_lists_versions_with_alias_and_reason(project: Path, mlflow_ui: str, page) -> None:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{project / 'mlflow.db'}")
    client = mlflow.MlflowClient()
    first = client.get_model_version_by_alias("goodbad", "champion")
    second = client.create_model_version("goodbad", first.source, first.run_id)
    checks = (Check("chance", "failed", "the gain is not significant (p = 0.2)"),)
    decision = Decision(alias="challenger", reason=checks[0].reason, policy="strict", checks=checks)
    set_alias("goodbad", second.version, decision, "1", {}, images=36)
    page.goto(f"{mlflow_ui}/#/models/goodbad")
    for alias, reason in (("champion", "no champion yet"), ("challenger", "the gain is not significant")):
        row = page.get_by_role("row").filter(has_text=f"@ {alias}")
        row.get_by_text(reason).last.wait_for()
    page.goto(f"{mlflow_ui}/#/models/goodbad/versions/{second.version}")
    page.get_by_text("failed: chance", exact=True).first.wait_for(state="attached")


@pytest.fixture(scope="module")
def kedro_viz(project: Path) -> Iterator[str]:
    with served(project, str(BIN / "kedro"), "viz", "run", "--no-browser") as address:
        yield address


MOST_BOXES = 25
SMALLEST_LABEL = 7.5
"""Pixels of the screen: the font size of a label, after the zoom that Kedro-Viz opens with."""
LABEL_SIZES = """() => [...document.querySelectorAll(".pipeline-node text")].map(
    label => parseFloat(getComputedStyle(label).fontSize) * label.getScreenCTM().a)"""


def test_viz_opens_on_three_stages_with_labels_that_can_be_read(kedro_viz: str, page) -> None:
    page.goto(kedro_viz)
    boxes = page.locator(".pipeline-node")
    boxes.first.wait_for()
    page.locator(".pipeline-layer-name").first.wait_for(state="attached")
    page.wait_for_timeout(3000)  # the zoom is animated
    assert {"data", "training", "results", "splits", "model", "report"} <= set(boxes.all_text_contents())
    assert boxes.count() <= MOST_BOXES
    assert min(page.evaluate(LABEL_SIZES)) >= SMALLEST_LABEL
    assert page.locator(".pipeline-layer-name").all_text_contents() == ["model_input", "models", "reporting"]


def test_viz_expanded_shows_every_stage_with_its_layers_and_previews(kedro_viz: str, page) -> None:
    expand_all(page, kedro_viz)
    shown = set(page.locator(".pipeline-node").all_text_contents())
    assert {"scan_images", "assign_splits", "train_model", "predict_test", "register_model"} <= shown
    layers = page.locator(".pipeline-layer-name").all_text_contents()
    assert layers == ["intermediate", "primary", "model_input", "models", "model_output", "reporting"]
    open_previews(page)


def expand_all(page, address: str) -> None:
    page.goto(f"{address}/?expandAllPipelines=true")
    page.locator("[data-node-fullname='confusion_matrix']").wait_for(state="attached")


def open_previews(page) -> None:
    """Click a figure, a table and the report, and check what each shows."""
    page.locator("[data-node-fullname='confusion_matrix']").dispatch_event("click")
    assert width_of(page.locator("img[src^='data:image/png;base64']").first) == FIGURE
    page.locator("[data-node-fullname='splits']").dispatch_event("click")
    page.get_by_text("image_id").first.wait_for(state="attached")
    page.locator("[data-node-fullname='quarantine_table']").dispatch_event("click")
    page.get_by_text(f"={HOSTILE}.png").first.wait_for(state="attached")
    page.locator("[data-node-fullname='report']").dispatch_event("click")
    shown = page.locator(".html-renderer .page")
    shown.get_by_text("Findings").first.wait_for(state="attached")
    shown.get_by_text(HOSTILE).first.wait_for(state="attached")
    assert shown.locator("a").count() == 0
    assert shown.locator(".tiles").evaluate("tiles => getComputedStyle(tiles).display") == "grid"
    assert page.evaluate("window.broken") is None


def width_of(image) -> int:
    """The width in pixels of an image of a page, once it is whole."""
    image.wait_for(state="attached")
    return image.evaluate("async image => { await image.decode(); return image.naturalWidth; }")


@pytest.mark.parametrize("width", [1280, 800])
def test_the_report_and_card_of_a_run_are_complete_and_log_no_errors(
    project: Path, page, watched, broken_images, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for name in ("report", "model_card"):
        page.goto(f"file://{project}/data/08_reporting/{name}.html")
        page.get_by_text(HOSTILE).first.wait_for(state="attached")
        assert page.evaluate("window.broken") is None
        assert broken_images() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert watched.messages == []
    assert all(url.startswith(("data:", f"file://{project}/")) for url in watched.requests)


def test_a_formula_in_a_file_name_is_written_as_text(project: Path) -> None:
    assert f'\n"\'={HOSTILE}.png",' in (project / "data/08_reporting/quarantine.csv").read_text()


def drop(page, name: str, data: bytes) -> None:
    """Let a file fall on the page, as out of a file manager."""
    made = "([name, data]) => { const all = new DataTransfer(); all.items.add(new File([new Uint8Array(data)], name)); "
    transfer = page.evaluate_handle(f"{made} return all; }}", [name, list(data)])
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})


@pytest.fixture(scope="module")
def abstaining(project: Path) -> str:
    """The number of a version that abstains unless it is certain."""
    import mlflow
    import numpy as np

    from goodbad_pipeline.evaluation.decision import Calibration
    from goodbad_pipeline.registry.models import find_model, log_model

    mlflow.set_tracking_uri(f"sqlite:///{project / 'mlflow.db'}")
    first = find_model("goodbad", 1)
    calibration = Calibration(first.class_names, abstain_below=1.0)
    side = first.transform.resolution
    with mlflow.start_run(experiment_id="1"):
        return log_model(first.model, "goodbad", calibration, first.transform, np.zeros((side, side, 3), np.uint8))


@pytest.fixture(scope="module")
def classifier_page(project: Path, abstaining: str) -> Iterator[str]:
    with served(project, sys.executable, "-m", "goodbad_pipeline.app") as address:
        yield address


@pytest.mark.parametrize("width", [1280, 800])
def test_the_page_classifies_an_image_and_explains_a_rejected_file(
    project: Path, classifier_page: str, page, watched, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    image = project / "data/01_raw/characters/images/good_0_0.png"
    page.goto(classifier_page)
    page.get_by_text("goodbad version 1").wait_for()
    page.get_by_text("Classes: bad, good (").wait_for()  # before the first image
    page.set_input_files("#file", image)
    page.get_by_text("% sure").wait_for()
    assert page.locator("#label").text_content() in ("bad", "good")
    assert page.locator(".bar").count() == 2
    page.locator("#image").wait_for(state="visible")
    page.locator("#heat").wait_for(state="visible")
    said = page.locator("#label").text_content()
    assert page.locator("#class").text_content() == said
    page.locator(".bar[aria-pressed=false]").click()
    page.locator("#class", has_text="good" if said == "bad" else "bad").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert watched.messages == []
    drop(page, f"{HOSTILE}.png", b"nothing to see")
    page.get_by_text("not_an_image").wait_for()
    assert page.locator(".bar").count() == 0
    assert not page.locator("#heat").is_visible()
    assert page.evaluate("window.broken") is None
    drop(page, "good.png", image.read_bytes())
    page.locator("#label", has_text=said).wait_for()
    page.locator("#heat").wait_for(state="visible")
    assert all(url.startswith((classifier_page, f"blob:{classifier_page}")) for url in watched.requests)


@pytest.mark.parametrize("width", [1280, 800])
def test_the_page_takes_several_images_and_another_version_that_abstains(
    project: Path, classifier_page: str, abstaining: str, page, watched, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    images = [project / f"data/01_raw/characters/images/{name}_0_0.png" for name in ("good", "bad")]
    page.goto(classifier_page)
    page.get_by_text("Classes: bad, good (").wait_for()
    page.set_input_files("#file", images)
    page.locator(".thumbnail").nth(1).filter(has_text="%").wait_for()
    assert page.locator(".thumbnail").count() == 2
    assert page.locator("#name").text_content() == "good_0_0.png"
    page.locator(".thumbnail").nth(1).click()
    page.locator("#name", has_text="bad_0_0.png").wait_for()
    page.locator("#heat").wait_for(state="visible")
    assert page.locator("#version option:checked").text_content() == "version 1 (champion)"
    page.locator("#version").select_option(label=f"version {abstaining}")
    page.get_by_text(f"goodbad version {abstaining}").wait_for()
    page.get_by_text("Classes: bad, good (abstains below 100.0 %)").wait_for()
    page.locator(".thumbnail").nth(1).filter(has_text="abstained").wait_for()
    page.locator("#label", has_text="Abstained: not confident enough").wait_for()
    assert "this model abstains below 100.0 %" in page.locator("#detail").text_content()
    assert page.locator(".bar").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert watched.messages == []


@pytest.mark.slow
def test_viz_builds_a_static_site_that_shows_previews_without_a_server(project: Path, page) -> None:
    build = [str(BIN / "kedro"), "viz", "build", "--include-previews"]
    done = subprocess.run(build, cwd=project, check=True, capture_output=True, text=True, timeout=300)
    assert "ERROR" not in done.stdout + done.stderr  # its status is 0 even so
    site = project / "build"
    previews = {}
    for file in (site / "api" / "nodes").iterdir():
        node = json.loads(file.read_text())
        if kind := node.get("preview_type"):  # some files are several datasets, of which one is shown
            previews[Path(str(node.get("filepath"))).name] = kind
    assert previews["report.html"] == previews["model_card.html"] == "HTMLPreview"
    assert previews["confusion_matrix.png"] == previews["explanations.png"] == "ImagePreview"
    assert previews["splits.parquet"] == previews["slices.csv"] == "TablePreview"
    assert previews["test_metrics.json"] == "JSONPreview"
    with served(site, sys.executable, "-c", SERVE_FILES) as address:
        expand_all(page, address)
        open_previews(page)
