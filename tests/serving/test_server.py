"""``mlflow models serve`` in a process that cannot import this project, called with curl as in docs/serving.md."""

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import mlflow
import pytest
from factories import PROJECT
from serving_kit import REFUSING, environment

from goodbad_pipeline.registry.models import load_champion

PORT = "5001"
"""The port of docs/serving.md; the tests take a free one in its place."""
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def server(registered: str, tmp_path_factory) -> Iterator[str]:
    """The command of docs/serving.md, with another store."""
    (command,) = re.findall(r"^mlflow models serve .*$", (PROJECT / "docs/serving.md").read_text(), re.MULTILINE)
    assert f"--port {PORT}" in command
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    plain = tmp_path_factory.mktemp("plain")
    (plain / "sitecustomize.py").write_text(REFUSING)
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    address = f"http://127.0.0.1:{port}"
    log = (plain / "log").open("wb")
    process = subprocess.Popen(
        command.replace(PORT, port).split(),
        env=environment(registered) | {"PYTHONPATH": str(plain), "PATH": path},
        cwd=plain,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        _wait_for(address, process, plain / "log")
        yield address
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def _wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(1000):  # a busy machine takes minutes to import TensorFlow
        try:
            urllib.request.urlopen(f"{address}/ping", timeout=5)
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, log.read_text()
            time.sleep(0.5)
        else:
            return
    raise TimeoutError(log.read_text())


def post(address: str, body: bytes, kind: str = "application/json") -> tuple[int, dict]:
    request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        return error.code, json.loads(text) if text.startswith("{") else {"message": text}


def records(*data: bytes) -> bytes:
    return json.dumps({"dataframe_records": [{"image": base64.b64encode(one).decode()} for one in data]}).encode()


def test_the_server_gives_the_answers_of_the_project(server: str, files: dict[str, bytes], tracking: str) -> None:
    status, response = post(server, records(*files.values()))
    assert status == 200
    expected = load_champion("goodbad").classifier.classify(list(files.values()))
    for served, own in zip(response["predictions"], expected.to_dict("records"), strict=True):
        assert {key: served[key] for key in ("label", "abstained", "reason")} == {
            key: own[key] for key in ("label", "abstained", "reason")
        }
        if own["label"]:
            assert served["probabilities"] == pytest.approx(own["probabilities"], abs=1e-5)
            assert served["probability"] == pytest.approx(own["probability"], abs=1e-5)


@pytest.mark.parametrize(
    ("body", "kind", "status", "reason"),
    [
        (records(b"garbage"), "application/json", 400, "not_an_image"),
        (records(b""), "application/json", 400, "empty"),
        (b'{"dataframe_records": [{"image": "%%%"}]}', "application/json", 400, "not_an_image: not base64"),
        (b'{"dataframe_records": [{"image": null}]}', "application/json", 400, "missing"),
        (b'{"dataframe_records": [{"image": {"a": [1]}}]}', "application/json", 400, "missing"),
        (b'{"dataframe_records": [{"image": 7}]}', "application/json", 400, "missing"),
        (b'{"dataframe_records": [{"image": "/etc/hostname"}]}', "application/json", 400, "not_an_image: not base64"),
        (b'{"dataframe_records": []}', "application/json", 400, ""),
        (b'{"dataframe_records": [{"image": "aGk="}]}', "application/json", 400, "image"),
        (b'{"dataframe_split": {"columns": ["image"], "data": 3}}', "application/json", 400, ""),
        (b'{"instances": "x"}', "application/json", 400, ""),
        (b"{}", "application/json", 400, ""),
        (b"no json", "application/json", 400, ""),
        (b"\xff\xfe", "application/json", 400, ""),
        (b"image\n%%%\n", "text/csv", 400, ""),
        (b"image", "image/png", 415, "content type"),
    ],
)
def test_garbage_gets_a_4xx_with_the_reason(server: str, body: bytes, kind: str, status: int, reason: str) -> None:
    found, response = post(server, body, kind)
    assert found == status, response
    assert reason in response["message"]


def test_one_bad_row_spoils_no_other(server: str, files: dict[str, bytes]) -> None:
    status, response = post(server, records(files["image_000.png"], b"garbage"))
    assert status == 200
    good, bad = response["predictions"]
    assert good["label"] in ("bad", "good")
    assert (bad["label"], bad["probability"], bad["probabilities"], bad["reason"]) == (None, None, None, "not_an_image")


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_the_curl_line_of_the_guide_works_as_written(server: str, files: dict[str, bytes], tmp_path: Path) -> None:
    (line,) = re.findall(r"^.*curl .*(?:\\\n.*)*$", (PROJECT / "docs/serving.md").read_text(), re.MULTILINE)
    assert f"http://127.0.0.1:{PORT}/" in line
    image = re.findall(r"base64 \S+ ([\w/.]+)", line)[0]
    (tmp_path / image).parent.mkdir(parents=True)
    (tmp_path / image).write_bytes(files["image_001.jpeg"])
    done = subprocess.run(
        ["bash", "-c", line.replace(f"http://127.0.0.1:{PORT}", server)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    (response,) = json.loads(done.stdout)["predictions"]
    assert set(response) == {"label", "probability", "probabilities", "abstained", "reason"}
    assert response["reason"] is None


def test_every_process_of_the_server_refused_this_project(server: str, registered: str) -> None:
    """The premise of this file: with the same settings, importing the project fails."""
    assert mlflow.get_tracking_uri() != ""
    plain = environment(registered) | {"PYTHONPATH": ""}
    code = REFUSING + "\nimport goodbad_pipeline"
    done = subprocess.run([sys.executable, "-c", code], env=plain, capture_output=True, text=True, check=False)
    assert "goodbad_pipeline is not installed here" in done.stderr
