"""A PostgreSQL server for tests. PostgreSQL refuses to run as root, so that root runs it as the user ``postgres``."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

USER, PASSWORD = "searcher", "canary-0b{5}%/@é"


@contextmanager
def postgres_server() -> Iterator[str]:
    """Run a server that asks for the password of `USER`; yield the URL of its database, without user and password."""
    initdb = next((path for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), shutil.which("initdb"))
    if initdb is None:
        pytest.skip("PostgreSQL is not installed")
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # short, for the socket; the user `postgres` can read it
    try:
        (folder / "password").write_text(PASSWORD, encoding="utf-8")
        if user:
            for path in (folder, folder / "password"):
                shutil.chown(path, user)
        data, port = folder / "data", _free_port()
        auth = ["-A", "scram-sha-256", "-U", USER, f"--pwfile={folder / 'password'}", "-E", "UTF8", "--no-sync"]
        subprocess.run([initdb, "-D", data, *auth], user=user, cwd=folder, check=True, capture_output=True)
        control = [Path(initdb).with_name("pg_ctl"), "-D", data, "-w", "-l", folder / "log"]
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        subprocess.run([*control, "-o", options, "start"], user=user, cwd=folder, check=True, capture_output=True)
        try:
            yield f"postgresql://127.0.0.1:{port}/postgres"
        finally:
            subprocess.run(
                [*control, "-m", "immediate", "stop"], user=user, cwd=folder, check=True, capture_output=True
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
