"""Images on an SFTP server, which runs in this process."""

import os
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pandas as pd
import paramiko
import pytest
from factories import encoded, make_image
from paramiko import SFTPAttributes, SFTPHandle, SFTPServer, SFTPServerInterface
from test_archives import scan, write_folder, write_zip

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images import stores
from goodbad_pipeline.images.stores import Access

FILES = {
    f"{label}/{number} ü.png": encoded(make_image(number, bright=label == "sun"))
    for label in ("sun", "moon")
    for number in range(40)
}


class Login(paramiko.ServerInterface):
    def check_auth_password(self, username: str, password: str) -> int:
        right = (username, password) == ("me", "canary-77aa01")
        return paramiko.AUTH_SUCCESSFUL if right else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED


class Files(SFTPServerInterface):
    """Serves a folder for reading."""

    root: Path
    opened: Counter[str]

    def list_folder(self, path: str) -> list[SFTPAttributes] | int:
        try:
            entries = list(os.scandir(f"{self.root}{path}"))
        except OSError as error:
            return SFTPServer.convert_errno(error.errno)
        return [SFTPAttributes.from_stat(entry.stat(), entry.name) for entry in entries]

    def stat(self, path: str) -> SFTPAttributes | int:
        try:
            return SFTPAttributes.from_stat(os.stat(f"{self.root}{path}"))
        except OSError as error:
            return SFTPServer.convert_errno(error.errno)

    lstat = stat

    def open(self, path: str, flags: int, attr: SFTPAttributes) -> SFTPHandle:
        self.opened[path] += 1
        handle = SFTPHandle(flags)
        handle.readfile = Path(f"{self.root}{path}").open("rb")  # noqa: SIM115 - paramiko closes it
        handle.stat = lambda: self.stat(path)
        return handle


@pytest.fixture
def options(tmp_path: Path) -> Iterator[dict]:
    """The credentials of a server of FILES."""
    Files.root, Files.opened = tmp_path / "server", Counter()
    write_folder(Files.root / "pets", FILES)
    write_zip(Files.root / "pets.zip", FILES)
    for file in Files.root.rglob("*"):
        os.utime(file, (1e9, 1e9))
    key = paramiko.RSAKey.generate(2048)
    listener = socket.create_server(("127.0.0.1", 0))
    transports = []

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(client)
            transport.add_server_key(key)
            transport.set_subsystem_handler("sftp", SFTPServer, Files)
            transport.start_server(server=Login())
            transports.append(transport)

    threading.Thread(target=serve, daemon=True).start()
    yield {"port": listener.getsockname()[1], "username": "me", "password": "canary-77aa01"}
    stores.configure(Access())
    for transport in transports:
        transport.close()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    fsspec.get_filesystem_class("sftp").clear_instance_cache()


def test_a_server_is_read_like_a_folder_and_each_file_once(options: dict, tmp_path: Path) -> None:
    stores.configure(Access(options, tmp_path / "downloads", 10**9))
    folder = scan(Files.root / "pets")[0]
    for _ in range(2):
        pd.testing.assert_frame_equal(scan("sftp://127.0.0.1/pets", tmp_path / "journal")[0].images, folder.images)
    assert Files.opened == Counter({f"/pets/{name}": 1 for name in FILES})
    os.utime(Files.root / "pets" / "sun" / "1 ü.png", (1.1e9, 1.1e9))
    scan("sftp://127.0.0.1/pets", tmp_path / "journal")
    assert Files.opened.total() == len(FILES) + 1
    pd.testing.assert_frame_equal(scan("sftp://127.0.0.1/pets.zip")[0].images, folder.images)


@pytest.mark.parametrize(
    ("change", "path", "problem"),
    [
        ({"password": "wrong-55bb"}, "pets", "check images.credentials and its entry in conf/local/credentials.yml"),
        ({"port": 1}, "pets", "check the connection and images.credentials"),
        ({}, "none", "is empty"),
    ],
)
def test_what_is_wrong_is_named(options: dict, change: dict, path: str, problem: str, monkeypatch) -> None:
    monkeypatch.setattr(stores, "WAITS", (0.0,))
    stores.configure(Access(options | change))
    with pytest.raises(InputError, match=f"images.root: .*'sftp://127.0.0.1/{path}' .*{problem}") as caught:
        scan(f"sftp://127.0.0.1/{path}")
    assert "canary" not in str(caught.value)
    assert "wrong-55bb" not in str(caught.value)
