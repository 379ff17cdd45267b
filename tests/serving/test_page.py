"""The page's server, over HTTP; tests/browser looks at the page itself."""

import io
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import mlflow
import numpy as np
import pytest
import uvicorn
from factories import encoded
from PIL import Image
from serving_kit import SIDE, small_model

from goodbad_pipeline import app
from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.images.pixels import Transform
from goodbad_pipeline.registry.models import RegisteredModel, load_champion, log_model
from goodbad_pipeline.serving.classifier import Classifier

LIMIT = 100_000


@pytest.fixture(scope="module")
def address(registered: str) -> Iterator[str]:
    mlflow.set_tracking_uri(registered)
    transform = Transform(SIDE, "pad", (255, 255, 255), 120 * 120, tiff=True, shrink_on_load=True)
    with mlflow.start_run():
        example = np.zeros((SIDE, SIDE, 3), np.uint8)
        second = log_model(small_model(), "goodbad", Calibration(["night", "day"]), transform, example)
    config = uvicorn.Config(app.create_app(load_champion("goodbad"), LIMIT), host=app.HOST, port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(20)
    mlflow.MlflowClient(registered).delete_model_version("goodbad", second)  # other modules share this store


def fetch(address: str, data: bytes | None = None, **headers: str) -> tuple[int, dict, bytes]:
    request = urllib.request.Request(address, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def test_it_gives_the_answers_of_the_project_on_200_files(address: str, tracking: str, files: dict[str, bytes]) -> None:
    expected = load_champion("goodbad").classifier.classify(list(files.values()))
    for data, own in zip(files.values(), expected.to_dict("records"), strict=True):
        status, _, body = fetch(f"{address}/predict", data, **{"Content-Type": "application/octet-stream"})
        response = json.loads(body)
        assert (response["label"], response["abstained"], response["reason"]) == (
            own["label"],
            own["abstained"],
            own["reason"],
        )
        assert status == 200
        if own["label"]:
            assert response["probabilities"] == pytest.approx(own["probabilities"], abs=1e-5)


def test_it_shows_what_speaks_for_a_class(address: str, files: dict[str, bytes]) -> None:
    light = Image.new("L", (SIDE, SIDE), 20)
    light.paste(250, (0, 0, SIDE // 2, SIDE))  # the network of these tests takes light for good
    status, headers, body = fetch(f"{address}/explain?label=good", encoded(light.convert("RGB")))
    assert (status, headers["content-type"]) == (200, "image/png")
    shown = np.asarray(Image.open(io.BytesIO(body)))
    assert shown.shape[0] == shown.shape[1] >= 320
    left, right = (shown[40:-40, half].astype(float).mean(axis=(0, 1)) for half in (slice(40, 120), slice(-120, -40)))
    assert (left > right + 60).all()
    _, _, against = fetch(f"{address}/explain?label=bad", encoded(light.convert("RGB")))
    assert np.asarray(Image.open(io.BytesIO(against))).mean() < shown.mean()


@pytest.mark.parametrize(("label", "data"), [("ugly", None), ("good", b"nothing to see"), ("", None)])
def test_what_cannot_be_explained_is_not_found(address: str, files: dict[str, bytes], label: str, data) -> None:
    assert fetch(f"{address}/explain?label={label}", data or files["image_001.jpeg"])[0] == 404
    assert fetch(f"{address}/explain?label=good", b"x" * (LIMIT + 1))[0] == 413


def test_a_network_of_others_is_asked_but_not_explained(caplog) -> None:
    import keras

    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    classifier = Classifier(model, Transform(4, "pad", (0, 0, 0), 100, tiff=False), Calibration(["a", "b"]))
    assert app.create_app(RegisteredModel("others", "3", classifier))
    assert "others version 3 lacks the layers that Grad-CAM needs" in caplog.text


def test_a_file_that_is_too_large_gets_its_reason(address: str) -> None:
    status, _, body = fetch(f"{address}/predict", b"x" * (LIMIT + 1))
    assert status == 413
    assert json.loads(body)["detail"] == "the file has more than 100,000 bytes"


def test_it_answers_to_its_own_name_alone(address: str) -> None:
    assert fetch(f"{address}/model", Host="evil.example")[0] == 400
    assert json.loads(fetch(f"{address}/model")[2])["name"] == "goodbad"


def test_it_lists_the_registered_versions_and_describes_the_one_it_was_started_with(
    address: str, tracking: str
) -> None:
    second, first = (entry for entry in json.loads(fetch(f"{address}/models")[2]) if entry["name"] == "goodbad")
    assert first == {"name": "goodbad", "version": "1", "aliases": ["champion"]}
    assert second == {"name": "goodbad", "version": "2", "aliases": []}
    described = json.loads(fetch(f"{address}/model")[2])
    assert described == {
        "name": "goodbad",
        "version": "1",
        "class_names": ["bad", "good"],
        "threshold": 0.45,
        "abstain_below": 0.7,
    }


def test_another_version_responds_if_it_is_named(address: str, tracking: str, files: dict[str, bytes]) -> None:
    facts = json.loads(fetch(f"{address}/model?name=goodbad&version=2")[2])
    assert (facts["version"], facts["class_names"], facts["abstain_below"]) == ("2", ["night", "day"], None)
    file = files["image_001.jpeg"]
    named = json.loads(fetch(f"{address}/predict?name=goodbad&version=2", file)[2])
    assert set(named["probabilities"]) == {"night", "day"}
    assert set(json.loads(fetch(f"{address}/predict", file)[2])["probabilities"]) == {"bad", "good"}
    assert fetch(f"{address}/explain?name=goodbad&version=2&label=day", file)[0] == 200
    assert fetch(f"{address}/explain?label=day", file)[0] == 404


@pytest.mark.parametrize("chosen", ["name=goodbad&version=9", "name=evil&version=1", "version=champion"])
def test_a_version_that_does_not_exist_is_refused_in_one_sentence(address: str, tracking: str, chosen: str) -> None:
    for place, data in (("model", None), ("predict", b"x"), ("explain?label=good", b"x")):
        joint = "&" if "?" in place else "?"
        status, _, body = fetch(f"{address}/{place}{joint}{chosen}", data)
        assert status == 404
        assert "has no version" in json.loads(body)["detail"]


SITE, MODE = "Sec-Fetch-Site", "Sec-Fetch-Mode"


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (b"x", {"Origin": "https://evil.example"}),
        (b"x", {"Origin": "null"}),
        (b"x", {"Origin": "http://127.0.0.1:1"}),  # another server of this machine
        (b"x", {"Origin": "https://evil.example", SITE: "same-origin"}),
        (b"x", {SITE: "cross-site", MODE: "no-cors"}),
        (b"x", {SITE: "cross-site", MODE: "navigate"}),  # a form
        (None, {SITE: "same-site", MODE: "no-cors"}),
    ],
)
def test_another_sites_page_is_refused(address: str, data: bytes | None, headers: dict[str, str]) -> None:
    for place in ("predict", "explain?label=good") if data else ("model",):
        status, received, body = fetch(f"{address}/{place}", data, **headers)
        assert (status, body) == (403, b"This server accepts requests from its own page only.\n")
        assert "access-control-allow-origin" not in received


def test_its_own_page_and_a_link_to_it_are_answered(address: str, files: dict[str, bytes]) -> None:
    own = {"Origin": address, SITE: "same-origin", MODE: "cors"}
    assert fetch(f"{address}/predict", files["image_001.jpeg"], **own)[0] == 200
    assert fetch(f"{address}/", **{SITE: "cross-site", MODE: "navigate"})[0] == 200
    assert fetch(f"{address}/model", **{SITE: "none"})[0] == 200


def test_the_page_allows_nothing_from_elsewhere(address: str) -> None:
    status, headers, body = fetch(f"{address}/")
    assert status == 200
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert b"http://" not in body
    assert b"https://" not in body
    assert fetch(f"{address}/../app.py")[0] == 404


def test_without_a_champion_it_ends_in_one_line(project, monkeypatch, capsys) -> None:
    monkeypatch.chdir(project)
    with pytest.raises(SystemExit):
        app.main(["--port", "0"])
    *_, last = capsys.readouterr().err.splitlines()  # MLflow may have logged before that it created its tables
    advice = "train and register a version with `kedro run`, or choose another alias or a version number"
    assert last == f"Error: registry: 'goodbad' has no version with the alias 'champion'; {advice}"


@pytest.fixture
def free_port() -> int:
    with socket.create_server((app.HOST, 0)) as probe:
        return probe.getsockname()[1]


def test_the_address_is_printed_once_the_port_is_bound_and_ctrl_c_ends_quietly(
    registered: str, project, free_port: int, monkeypatch, caplog, capsys
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registered)
    printed = []

    def interrupted(self: uvicorn.Server, sockets: list[socket.socket]) -> None:
        printed.append((sockets[0].getsockname()[1], caplog.messages[-1]))
        raise KeyboardInterrupt

    monkeypatch.setattr(uvicorn.Server, "run", interrupted)
    with caplog.at_level("INFO"), pytest.raises(SystemExit) as end:
        app.main(["--name", "goodbad", "--version", "1", "--port", str(free_port)])
    assert printed == [(free_port, f"goodbad version 1: http://127.0.0.1:{free_port}")]
    assert (end.value.code, "Traceback" in capsys.readouterr().err) == (130, False)


def test_the_name_of_another_registered_model_may_be_given(registered: str, project, monkeypatch, capsys) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registered)
    with pytest.raises(SystemExit):
        app.main(["--name", "pets", "--port", "0"])
    assert "'pets' has no version with the alias 'champion'" in capsys.readouterr().err


def test_a_port_that_is_in_use_is_one_line(monkeypatch, capsys) -> None:
    monkeypatch.setattr(app, "find_model", None)  # the port is tried before a model is loaded
    with socket.create_server((app.HOST, 0)) as other, pytest.raises(SystemExit) as end:
        app.main(["--port", str(other.getsockname()[1])])
    (line,) = capsys.readouterr().err.splitlines()
    assert end.value.code == 1
    assert line.startswith("Error: --port: must be a free port, got ")
    assert line.endswith("Address already in use); choose another with --port")


def test_outside_a_project_it_ends_in_one_line(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        app.main(["--port", "0"])
    assert "run this command inside the project folder" in capsys.readouterr().err
