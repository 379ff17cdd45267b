"""Images in remote stores, read through fsspec's file system in memory."""

import pickle
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import fsspec
import pandas as pd
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pydantic import SecretStr
from test_archives import FILES, scan, write_folder, write_zip

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images import paths, stores, workers
from goodbad_pipeline.images.paths import find_states, read_inside
from goodbad_pipeline.images.pixels import Transform, pixel_source
from goodbad_pipeline.images.reading import find_exif
from goodbad_pipeline.images.rejections import Reason
from goodbad_pipeline.images.sources import open_source
from goodbad_pipeline.images.stores import Access, check_url, open_root
from goodbad_pipeline.training.stopping import Stopped, StopRequest

URL = "memory://bucket/pets"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Counter[str]]:
    """A store in memory with FILES, and the number of times that each file was read."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for name, content in FILES.items():
        memory.pipe(f"/bucket/pets/{name}", content)
    memory.pipe("/bucket/pets2/other.jpg", b"not below the root")
    counts: Counter[str] = Counter()
    read = MemoryFileSystem.cat_file

    def count(self: MemoryFileSystem, path: str, **options: object) -> bytes:
        counts[path.removeprefix("/bucket/pets/")] += 1
        return read(self, path, **options)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", count)
    monkeypatch.setattr(paths, "_TICK", -(10**12))  # files that were just written count as settled
    monkeypatch.setattr(stores, "WAITS", (0.0, 0.0))
    stores.configure(Access({}, tmp_path / "downloads", 10**9))
    yield counts
    stores.configure(Access())
    memory.store.clear()


def test_a_store_is_read_like_a_folder_and_each_object_once(reads: Counter[str], tmp_path: Path) -> None:
    folder, ignored = scan(write_folder(tmp_path / "pets", FILES))
    remote, ignored_there = scan(URL, tmp_path / "journal")
    pd.testing.assert_frame_equal(remote.images, folder.images)
    pd.testing.assert_frame_equal(remote.quarantine, folder.quarantine)
    assert ignored_there == ignored
    root = open_root(URL)
    source = pixel_source(remote.images, root, Transform(16, "pad", (0, 0, 0), 10**6))
    assert source.streamed().array[:].shape == (6, 16, 16, 3)  # two files are equal
    assert find_exif(root, ["sun/1.jpg", "none"]).tolist() == [False, False]
    assert reads == Counter({name: 1 for name in FILES if "/." not in name})


def test_an_object_that_was_just_written_is_not_kept(reads: Counter[str], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(paths, "_TICK", 10**18)  # another change could have the same time
    for _ in range(2):
        assert isinstance(read_inside(open_root(URL), "sun/1.jpg").content, bytes)
    assert reads == {"sun/1.jpg": 2}


def test_only_changed_objects_are_read_again(reads: Counter[str], tmp_path: Path) -> None:
    first = scan(URL, tmp_path / "journal")[0]
    reads.clear()
    pd.testing.assert_frame_equal(scan(URL, tmp_path / "journal")[0].images, first.images)
    assert not reads
    fsspec.filesystem("memory").pipe("/bucket/pets/sun/1.jpg", FILES["moon/2.jpg"])
    fsspec.filesystem("memory").rm("/bucket/pets/sun/2.jpg")
    second = scan(URL, tmp_path / "journal")[0]
    assert reads == {"sun/1.jpg": 1}
    assert len(second.images) == len(first.images) - 1
    kept = list((tmp_path / "downloads").glob("*/*"))
    assert len(kept) == len([name for name in FILES if "/." not in name]) - 1  # no old versions


def test_an_interrupted_scan_goes_on_and_reads_nothing_twice(reads: Counter[str], tmp_path: Path, monkeypatch) -> None:
    read = MemoryFileSystem.cat_file
    calls: list[str] = []

    def fail_at_the_fifth(self: MemoryFileSystem, path: str, **options: object) -> bytes:
        calls.append(path)
        if len(calls) >= 5:
            raise ConnectionResetError("connection lost")
        return read(self, path, **options)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", fail_at_the_fifth)
    message = "images.root: 'memory://bucket/pets/.*' cannot be read .ConnectionResetError: connection lost.; check the"
    with pytest.raises(InputError, match=message):
        scan(URL, tmp_path / "journal")
    monkeypatch.setattr(MemoryFileSystem, "cat_file", read)
    result = scan(URL, tmp_path / "journal")[0]
    assert len(result.images) == 7
    assert max(reads.values()) == 1


def test_a_stopped_scan_stores_what_it_read_and_goes_on(reads: Counter[str], tmp_path: Path, monkeypatch) -> None:
    stores.configure(Access())  # no file is kept, so only the scan cache prevents a second read
    for file in MemoryFileSystem.store.values():
        file.created = datetime(2020, 1, 1, tzinfo=UTC)  # worker processes do not know the changed `_TICK`
    monkeypatch.setattr(workers, "AT_ONCE", 2)
    read, stop = MemoryFileSystem.cat_file, StopRequest()

    def stop_at_the_third(self: MemoryFileSystem, path: str, **options: object) -> bytes:
        content = read(self, path, **options)
        if reads.total() == 3:
            stop.set("SIGTERM")
        return content

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "cat_file", stop_at_the_third)
        with pytest.raises(Stopped, match="stopped by SIGTERM during the scan"):
            scan(URL, tmp_path / "journal", stop=stop)
    assert reads.total() == 4  # the fourth was already requested
    assert len(scan(URL, tmp_path / "journal")[0].images) == 7
    assert reads == Counter({name: 1 for name in FILES if "/." not in name})


def test_a_lost_connection_is_tried_again(reads: Counter[str], monkeypatch, caplog) -> None:
    read = MemoryFileSystem.cat_file
    failed: set[str] = set()

    def fail_once(self: MemoryFileSystem, path: str, **options: object) -> bytes:
        if path not in failed:
            failed.add(path)
            raise TimeoutError
        return read(self, path, **options)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", fail_once)
    assert len(scan(URL)[0].images) == 7
    assert caplog.text.count("trying again") == len(failed)


def test_an_object_that_disappears_is_missing_and_one_that_changes_is_read_again(reads: Counter[str]) -> None:
    root = open_root(URL)
    assert root.files
    fsspec.filesystem("memory").rm("/bucket/pets/sun/2.jpg")
    fsspec.filesystem("memory").pipe("/bucket/pets/sun/1.jpg", b"new")
    assert read_inside(root, "sun/2.jpg").content.reason == Reason.MISSING
    assert read_inside(root, "../pets2/other.jpg").content.reason == Reason.MISSING
    assert read_inside(root, "sun/1.jpg") == (b"new", None)
    assert read_inside(root, "moon/1.jpg", max_bytes=10).content.reason == Reason.OUT_OF_MEMORY


def test_a_denied_object_is_unreadable_unless_the_credentials_are_denied(reads: Counter[str], monkeypatch) -> None:
    def deny(*_: object, **__: object) -> bytes:
        raise PermissionError("Forbidden")

    monkeypatch.setattr(MemoryFileSystem, "cat_file", deny)
    assert read_inside(open_root(URL), "sun/1.jpg").content.reason == Reason.UNREADABLE
    root = open_root(URL)
    assert root.files
    monkeypatch.setattr(MemoryFileSystem, "info", deny)
    with pytest.raises(InputError, match=r"check images\.credentials and its entry"):
        read_inside(root, "sun/1.jpg")


def test_without_space_nothing_is_kept(reads: Counter[str], tmp_path: Path) -> None:
    stores.configure(Access({}, tmp_path / "downloads", 1000))
    assert len(scan(URL)[0].images) == 7
    assert sum(file.stat().st_size for file in (tmp_path / "downloads").rglob("*") if file.is_file()) <= 1000


def test_a_remote_archive_is_downloaded_once(reads: Counter[str], tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", FILES).read_bytes()
    fsspec.filesystem("memory").pipe("/bucket/a.zip", archive)
    first = scan("memory://bucket/a.zip", tmp_path / "journal")[0]
    downloaded = list((tmp_path / "downloads").glob("*/*-a.zip"))
    assert len(downloaded) == 1
    assert downloaded[0].read_bytes() == archive
    written = downloaded[0].stat().st_mtime_ns
    pd.testing.assert_frame_equal(scan("memory://bucket/a.zip", tmp_path / "journal")[0].images, first.images)
    assert downloaded[0].stat().st_mtime_ns == written
    fsspec.filesystem("memory").pipe("/bucket/a.zip", write_zip(tmp_path / "b.zip", {"a/1.png": b"x"}).read_bytes())
    assert list(open_root("memory://bucket/a.zip").files) == ["a/1.png"]
    assert len(list((tmp_path / "downloads").glob("*/*-a.zip"))) == 1


def test_a_manifest_in_a_store(reads: Counter[str]) -> None:
    fsspec.filesystem("memory").pipe("/bucket/pets/labels.csv", b"path,label\nsun/1.jpg,007\nsun/none.jpg,7\n")
    result = scan(URL)[0]
    assert result.images[["path", "label"]].values.tolist() == [["sun/1.jpg", "007"]]
    assert result.quarantine["reason"].tolist() == [Reason.MISSING]
    assert list(open_source(URL, "path").blocks(5)) == [["sun/1.jpg", "sun/none.jpg"]]


def test_a_store_that_is_sent_to_another_process_lists_nothing_and_holds_no_secret(reads: Counter[str]) -> None:
    stores.configure(Access({"key": "canary-77aa01"}))
    root = stores.RemoteStore(URL)
    sent = pickle.dumps(stores.RemoteStore(URL, listed={"sun/1.jpg": stores.FileState(1, 2, 3, 4)}))
    assert b"canary" not in sent + pickle.dumps(root) + repr(root).encode()
    assert find_states(pickle.loads(sent), ["sun/1.jpg"]).tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("nonsense://bucket", "use s3://, gs://"),
        ("gs://bucket/pets", r"pip install .*\[gcs\]"),
        ("https://example.org/pets", "must name a zip, tar or Parquet file"),
        ("memory://bucket/none.zip", "check the bucket or server and the folder"),
    ],
)
def test_a_url_that_cannot_be_opened_says_what_to_do(reads: Counter[str], url: str, advice: str) -> None:
    with pytest.raises(InputError, match=f"images.root: .*'{url}.*{advice}|{advice}.*'{url}"):
        open_root(url).files.items()


@pytest.mark.parametrize(
    "url", ["sftp://me:hunter2@host/pets", "https://x/a.zip?X-Amz-Signature=hunter2", "https://x/a.zip?a=1&sig=hunter2"]
)
def test_a_secret_in_a_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(InputError, match=r"images\.credentials") as caught:
        check_url("images.root", url)
    assert "hunter2" not in str(caught.value)
    check_url("images.root", url.replace(":hunter2", "").partition("?")[0])


def test_secrets_are_removed_from_causes(reads: Counter[str], monkeypatch) -> None:
    stores.configure(Access({"key": "AKIA77", "client_kwargs": {"endpoint_url": "http://host", "aws_token": "t0ken"}}))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("AKIA77 with t0ken at http://host may not list")

    monkeypatch.setattr(MemoryFileSystem, "find", refuse)
    with pytest.raises(InputError) as caught:
        open_root("memory://bucket/x").files.items()
    stars = str(SecretStr("x"))
    assert f"PermissionError: {stars} with {stars} at http://host may not list" in str(caught.value)
    assert "conf/local/credentials.yml" in str(caught.value)


def test_files_are_listed_once_in_a_session_and_again_for_a_scan(reads: Counter[str], monkeypatch) -> None:
    find, listed = MemoryFileSystem.find, []
    monkeypatch.setattr(MemoryFileSystem, "find", lambda *a, **b: listed.append(a) or find(*a, **b))
    for expected in (1, 2):
        scan(URL)
        assert [find_states(open_root(URL), ["sun/1.jpg"]).min() >= 0 for _ in range(3)] == [True] * 3
        assert len(listed) == expected


def test_the_space_for_downloads_is_measured_once(reads: Counter[str], monkeypatch) -> None:
    usage, measured = stores.shutil.disk_usage, []
    monkeypatch.setattr(stores.shutil, "disk_usage", lambda folder: measured.append(folder) or usage(folder))
    for path in ("sun/1.jpg", "moon/1.jpg"):
        open_root(URL).only([path]).read(path)  # as each batch of a scan
    assert len(measured) == 1


class S3(BaseHTTPRequestHandler):
    """Answers every request with b"content", except requests of obstore if ``refuses``."""

    refuses = False
    requests: ClassVar[list[tuple[str, str, str | None]]] = []

    def do_GET(self) -> None:
        client = "obstore" if self.headers["User-Agent"].startswith("object_store") else "s3fs"
        self.requests.append((client, self.path, self.headers["X-Amz-Security-Token"]))
        refused = self.refuses and client == "obstore"
        self.send_response(403 if refused else 200)
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Tue, 01 Dec 2026 00:00:00 GMT")
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"content")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    """The options of a server that answers as `S3`."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of other keys")
    monkeypatch.setattr(S3, "requests", [])
    with ThreadingHTTPServer(("127.0.0.1", 0), S3) as server:
        Thread(target=server.serve_forever).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        yield {"key": "AKIA", "secret": "canary", "client_kwargs": {"endpoint_url": endpoint}}
        server.shutdown()
    stores.configure(Access())


@pytest.mark.parametrize(
    ("options", "refuses", "clients"),
    [
        ({}, False, ["obstore", "obstore"]),
        ({"token": "mine"}, False, ["obstore", "obstore"]),
        ({}, True, ["obstore", "s3fs", "s3fs"]),
        ({"requester_pays": True}, False, ["s3fs", "s3fs"]),
    ],
)
def test_objects_are_read_by_obstore_if_it_can(s3: dict, monkeypatch, options, refuses: bool, clients: list) -> None:
    pytest.importorskip("s3fs")
    monkeypatch.setattr(S3, "refuses", refuses)
    stores.configure(Access({**s3, **options}))
    state = stores.FileState(7, 1, 0, 1)
    for path in ("a%20b.jpg", "ä b.jpg"):
        assert stores.RemoteStore("s3://bucket/pets", listed={path: state}).read(path) == (b"content", state)
    assert [client for client, _, _ in S3.requests] == clients
    assert S3.requests[-1][1:] == ("/bucket/pets/%C3%A4%20b.jpg", options.get("token"))
