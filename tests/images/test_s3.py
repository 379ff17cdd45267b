"""Images on an S3 server, which runs on this machine."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
import pandas as pd
import pytest
import yaml
from cli_runner import command
from factories import encoded, make_image
from joblib import cpu_count
from test_archives import scan, write_folder

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images import stores
from goodbad_pipeline.images.stores import Access
from goodbad_pipeline.images.workers import AT_ONCE

pytestmark = pytest.mark.long
IMAGES = 300
URL = "s3://bucket/pets"
SCAN = """
import sys, yaml
from pathlib import Path
from goodbad_pipeline.images import stores
from test_archives import scan
if __name__ == "__main__":
    stores.configure(stores.Access(yaml.safe_load(sys.argv[1]), Path("downloads"), 10**9))
    scan("s3://bucket/pets", Path("journal"))
"""


class Server:
    """A moto server in a process of its own."""

    def __init__(self, log: Path, **environment: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        arguments = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self.log = log
        with log.open("w") as stream:
            self.process = subprocess.Popen(arguments, stdout=stream, stderr=stream, env=environment)
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise RuntimeError(log.read_text())

    def options(self, port: int | None = None) -> dict:
        endpoint = f"http://127.0.0.1:{port or self.port}"
        return {"key": "AKIA-of-a-test", "secret": "canary-77aa01", "client_kwargs": {"endpoint_url": endpoint}}

    def reads(self) -> Counter[str]:
        """Return how often each object was read."""
        return Counter(re.findall(r'"GET /bucket/(pets/[^? ]+) HTTP/1.1" 200', self.log.read_text()))


@contextmanager
def running(log: Path, **environment: str) -> Iterator[Server]:
    server = Server(log, **environment)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return {
        f"{'sun' if number % 2 else 'moon'}/{number}.png": encoded(make_image(number, bright=bool(number % 2)))
        for number in range(IMAGES)
    }


@pytest.fixture
def server(tmp_path: Path, files: dict[str, bytes]) -> Iterator[Server]:
    with running(tmp_path / "moto.log") as server:
        remote = fsspec.filesystem("s3", **server.options())
        remote.mkdir("bucket")
        remote.pipe("bucket/pets/folder/", b"")  # as a web console makes one
        remote.pipe({f"bucket/pets/{name}": content for name, content in files.items()})
        stores.configure(Access(server.options(), tmp_path / "downloads", 10**9))
        yield server
        stores.configure(Access())


def test_a_bucket_is_read_like_a_folder_and_each_object_once(server: Server, tmp_path: Path, files) -> None:
    folder = scan(write_folder(tmp_path / "pets", files))[0]
    for _ in range(2):
        pd.testing.assert_frame_equal(scan(URL, tmp_path / "journal")[0].images, folder.images)
    assert server.reads() == Counter({f"pets/{name}": 1 for name in files})


def test_a_scan_that_is_killed_five_times_goes_on(server: Server, tmp_path: Path, files) -> None:
    arguments = [sys.executable, "-c", SCAN, yaml.safe_dump(server.options())]
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    for kill in range(1, 6):
        process = subprocess.Popen(arguments, cwd=tmp_path, env=environment)
        while len(server.reads()) < kill * IMAGES // 6 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(arguments, cwd=tmp_path, env=environment, check=True)
    reads = server.reads()
    assert len(reads) == IMAGES
    assert reads.total() - IMAGES <= 5 * 2 * cpu_count() * AT_ONCE  # only objects that were in flight at a kill
    assert len(scan(URL, tmp_path / "journal")[0].images) == IMAGES


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_a_signal_stops_reads_no_object_again(server: Server, project: Path, files, number: int) -> None:
    (project / "conf" / "local" / "credentials.yml").write_text(yaml.safe_dump({"pets": server.options()}))
    kedro = Path(sys.executable).with_name("kedro")
    arguments = [kedro, "run", "--env=local", "--pipeline=data", f"--params=images.root={URL},images.credentials=pets"]
    process = subprocess.Popen(arguments, cwd=project, env=os.environ)
    while len(server.reads()) < IMAGES // 4 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait() == 128 + number
    assert len(server.reads()) < IMAGES
    subprocess.run(arguments, cwd=project, check=True)
    assert server.reads() == Counter({f"pets/{name}": 1 for name in files})


def test_dropped_connections(server: Server, tmp_path: Path, files, monkeypatch) -> None:
    proxy = DroppingProxy(server.port)
    monkeypatch.setattr(stores, "WAITS", (0.1, 0.2, 0.3))
    stores.configure(Access(server.options(proxy.port), tmp_path / "downloads", 10**9))
    result = scan(URL, tmp_path / "journal")[0]
    pd.testing.assert_frame_equal(result.images, scan(write_folder(tmp_path / "pets", files))[0].images)
    assert proxy.dropped > 10
    proxy.close()
    with pytest.raises(InputError, match=r"images\.root: 's3://bucket/pets' cannot be read .*; check the connection"):
        scan(URL, tmp_path / "journal")


class DroppingProxy:
    """Forwards connections and closes each after a random number of bytes."""

    def __init__(self, target: int) -> None:
        self.target, self.dropped = target, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self) -> None:
        rng = random.Random(0)
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            upstream = socket.create_connection(("127.0.0.1", self.target))
            limit = rng.choice([2_000, 15_000, 400_000])
            for source, sink, most in ((client, upstream, 10**9), (upstream, client, limit)):
                threading.Thread(target=self._forward, args=(source, sink, most), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, left: int) -> None:
        try:
            while (data := source.recv(4096)) and left > 0:
                sink.sendall(data[:left])
                left -= len(data)
            self.dropped += left <= 0
            for end in (source, sink):
                end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def test_wrong_credentials(tmp_path: Path) -> None:
    with running(tmp_path / "moto.log", INITIAL_NO_AUTH_ACTION_COUNT="0") as server:
        stores.configure(Access(server.options()))
        with pytest.raises(InputError, match=r"check images\.credentials and its entry in conf/local") as caught:
            scan(URL)
        stores.configure(Access())
    assert "PermissionError" in str(caught.value)
    assert "canary" not in str(caught.value)
    assert "AKIA" not in str(caught.value)


def test_kedro_reads_a_bucket_with_credentials_of_conf_local(server: Server, project: Path, files) -> None:
    arguments = ("run", "--env=local", "--pipeline=data", f"--params=images.root={URL},images.credentials=pets")
    refused = command(project, *arguments)
    assert "images.credentials: must be an entry of conf/local/credentials.yml, got 'pets'" in refused.stderr
    (project / "conf" / "local" / "credentials.yml").write_text(yaml.safe_dump({"pets": server.options()}))
    done = command(project, *arguments)
    assert done.returncode == 0, done.stderr
    labels = pd.read_parquet(project / "data" / "03_primary" / "labels.parquet")
    assert len(labels) == IMAGES
    assert server.reads() == Counter({f"pets/{name}": 1 for name in files})
    stored = [file for file in project.rglob("*") if file.is_file() and file.name != "credentials.yml"]
    assert not [file for file in stored if b"canary-77aa01" in file.read_bytes()]
    assert "canary-77aa01" not in done.stdout + done.stderr
