"""MLflow's UI and Kedro-Viz in a real browser, over a project that has just been run."""

import json
import os
import random
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
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from making import make_project

pytestmark = pytest.mark.browser
BIN = Path(sys.executable).parent
SERVE_FILES = """
import sys; from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[-1])), SimpleHTTPRequestHandler).serve_forever()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    folder = make_project(tmp_path_factory.mktemp("browser") / "project")
    bootstrap_project(folder)
    with KedroSession.create(folder, env="test") as session:
        session.run()
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
    for _ in range(180):
        try:
            urllib.request.urlopen(address, timeout=5)
        except (urllib.error.URLError, OSError):
            assert server.poll() is None, "the server ended before it answered"
            time.sleep(0.5)
        else:
            return
    raise TimeoutError(address)


def run_id(project: Path) -> str:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("goodbad_pipeline").experiment_id])
    return run.info.run_id


def test_mlflow_shows_run_parameters_metrics_figures_and_the_champion(project: Path, page) -> None:
    with served(project, str(BIN / "kedro"), "mlflow", "ui") as address:
        page.goto(f"{address}/#/experiments/1/runs")
        page.get_by_text("__default__ efficientnet_lite φ=-7").first.wait_for()
        page.goto(f"{address}/#/experiments/1/runs/{run_id(project)}")
        for text in ("test_accuracy", "baseline_histogram_test_roc_auc", "model.phi", "training.augmentation.flip"):
            page.get_by_text(text, exact=True).first.wait_for(state="attached")
        page.goto(f"{address}/#/experiments/1/runs/{run_id(project)}/artifacts/figures/confusion_matrix.png")
        page.locator("img[src*='confusion_matrix'], img[src^='blob:']").first.wait_for(state="attached")
        page.goto(f"{address}/#/models/goodbad")
        page.get_by_text("champion").first.wait_for()


def test_viz_shows_layers_namespaces_and_previews(project: Path, page) -> None:
    with served(project, str(BIN / "kedro"), "viz", "run", "--no-browser") as address:
        page.goto(address)
        node = page.locator(".pipeline-node")
        node.first.wait_for()
        shown = set(node.all_text_contents())
        assert {"ingestion", "splitting", "modelling", "training", "evaluation", "registration"} <= shown
        page.locator(".pipeline-layer-name").first.wait_for(state="attached")
        layers = set(page.locator(".pipeline-layer-name").all_text_contents())
        assert {"primary", "model_input", "models", "reporting"} <= layers
        page.locator("[data-node-fullname='confusion_matrix']").dispatch_event("click")
        page.locator("img[src^='data:image/png;base64']").first.wait_for(state="attached")
        page.locator("[data-node-fullname='splits']").dispatch_event("click")
        page.get_by_text("image_id").first.wait_for(state="attached")


@pytest.mark.parametrize("width", [1280, 800])
def test_the_page_answers_about_a_picture_and_says_what_is_wrong_with_a_file(
    project: Path, page, tmp_path: Path, width: int
) -> None:
    errors: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size({"width": width, "height": 800})
    bad = tmp_path / "<img src=x onerror=alert(1)>.png"
    bad.write_bytes(b"nothing to see")
    with served(project, sys.executable, "-m", "goodbad_pipeline.app") as address:
        page.goto(address)
        page.get_by_text("goodbad version 1").wait_for()
        page.set_input_files("#file", project / "data/01_raw/characters/pictures/good_0_0.png")
        page.get_by_text("% sure").wait_for()
        assert page.locator("#label").text_content() in ("bad", "good")
        assert page.locator(".bar").count() == 2
        page.locator("#picture").wait_for(state="visible")
        page.locator("#heat").wait_for(state="visible")
        said = page.locator("#label").text_content()
        assert page.locator("#class").text_content() == said
        page.locator(".bar[aria-pressed=false]").click()
        page.locator("#class", has_text="good" if said == "bad" else "bad").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert errors == []
        page.set_input_files("#file", bad)
        page.get_by_text("not_an_image").wait_for()
        assert page.locator(".bar").count() == 0
        assert not page.locator("#heat").is_visible()
    assert all(url.startswith((address, f"blob:{address}")) for url in asked)


@pytest.mark.slow
def test_viz_builds_a_static_site_that_shows_previews_without_a_server(project: Path, page) -> None:
    build = [str(BIN / "kedro"), "viz", "build", "--include-previews"]
    subprocess.run(build, cwd=project, check=True, capture_output=True, timeout=300)
    site = project / "build"
    previews = {}
    for file in (site / "api" / "nodes").iterdir():
        node = json.loads(file.read_text())
        previews[Path(str(node.get("filepath"))).name] = node.get("preview_type")
    assert previews["report.html"] == previews["model_card.html"] == "HTMLPreview"
    assert previews["confusion_matrix.png"] == previews["explanations.png"] == "ImagePreview"
    assert previews["splits.parquet"] == previews["slices.csv"] == "TablePreview"
    assert previews["test_metrics.json"] == "JSONPreview"
    with served(site, sys.executable, "-c", SERVE_FILES) as address:
        page.goto(address)
        page.locator(".pipeline-node").first.wait_for()
        page.locator("[data-node-fullname='report']").dispatch_event("click")
        page.frame_locator("iframe").get_by_text("What to know before believing this").first.wait_for(state="attached")
