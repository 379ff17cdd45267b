"""Databases of MLflow and Optuna: create sqlite files quickly, connect to servers, and name a database in errors."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlalchemy import URL, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import SQLAlchemyError

from goodbad_pipeline.errors import InputError, find_cause, install_command

SQLITE = "sqlite"
_DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql", "mariadb": "pymysql"}
_EXTRAS = {"psycopg": "postgresql", "pymysql": "mysql"}
_CREDENTIALS = ("username", "password")
_TIMEOUT = 10  # seconds for a connection to a server
_SQLITE_TIMEOUT = 60  # seconds for which a process waits until another process has written
_CANNOT_WRITE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}


@cache
def name_databases() -> None:
    """For the rest of this process, add the file name to errors of MLflow's and Optuna's sqlite databases."""
    event.listen(Engine, "handle_error", _raise_with_name)


@contextmanager
def created_quickly() -> Iterator[None]:
    """Speed up MLflow's creation of an sqlite database: do not wait for the disk after each transaction.

    Within this context, a crash of the computer can damage the new database, but a kill of this process cannot.
    """
    connections: list[sqlite3.Connection] = []

    def connected(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")
        connections.append(connection)

    event.listen(Engine, "connect", connected)
    try:
        yield
    finally:
        event.remove(Engine, "connect", connected)
        for connection in connections:  # SQLAlchemy uses the connections again
            with suppress(sqlite3.ProgrammingError):  # the connection is closed
                connection.execute("PRAGMA synchronous=FULL")


def read_url(parameter: str, value: str, credentials: Mapping[str, Any], root: Path) -> URL:
    """Return the URL of a database, with a user and a password from ``credentials``.

    A relative path of an sqlite file is relative to ``root``.

    Raises:
        InputError: The URL is invalid, or the kind of database or an item of ``credentials`` is unknown.
    """
    shown = value.rpartition("@")[2]  # a malformed URL may contain a password
    try:
        url = make_url(value)
    except (SQLAlchemyError, ValueError):
        raise InputError(
            f"{parameter}: must be null or a URL such as postgresql://user@host/database, got '{shown}'"
        ) from None
    if unknown := set(credentials).difference(_CREDENTIALS):
        raise InputError(
            f"conf/local/credentials.yml: the entry for {parameter} may only have username and password, got "
            f"{', '.join(sorted(map(str, unknown)))}"
        )
    kind = url.get_backend_name()
    if kind == SQLITE and url.database not in (None, "", ":memory:"):
        return url.set(database=str(root / str(url.database)))
    if kind not in _DRIVERS:
        raise InputError(
            f"{parameter}: must begin with postgresql://, mysql://, mariadb:// or sqlite:/// and a file, got '{shown}'"
        )
    name = url.drivername if "+" in url.drivername else f"{kind}+{_DRIVERS[kind]}"
    texts = {key: str(item) for key, item in credentials.items()}
    return url.set(drivername=name, username=texts.get("username"), password=texts.get("password"))


def engine_arguments(url: URL) -> dict[str, Any]:
    """Return arguments of ``create_engine`` for a database that several processes use for hours."""
    if url.get_backend_name() == SQLITE:
        return {"connect_args": {"timeout": _SQLITE_TIMEOUT}}
    return {"connect_args": {"connect_timeout": _TIMEOUT}, "pool_pre_ping": True}


def check_connection(parameter: str, url: URL) -> None:
    """Raise an InputError if a driver is missing or the database does not accept a connection."""
    name_databases()
    with named_errors(parameter, url), create_engine(url, **engine_arguments(url)).connect():
        pass


@contextmanager
def named_errors(parameter: str, url: URL) -> Iterator[None]:
    """Convert errors of a database and of its driver to an `InputError`, which does not show the password."""
    try:
        yield
    except Exception as error:
        shown = url.render_as_string().replace(f"+{url.get_driver_name()}", "")
        if isinstance(error, ImportError):
            extra = _EXTRAS.get(url.get_driver_name())
            advice = install_command(extra) if extra else "install the driver that the URL names"
            raise InputError(f"{parameter}: '{shown}' needs a package ({error}); {advice}") from None
        cause = find_cause(error, (SQLAlchemyError,))
        if cause is None:
            raise
        detail = (str(getattr(cause, "orig", None) or cause).splitlines() or [""])[0]
        if url.password:
            detail = detail.replace(str(url.password), "***")
        raise InputError(
            f"{parameter}: '{shown}' cannot be used ({detail}); check that the server runs, the database exists and "
            "the credentials are right, then run the same command again to continue"
        ) from None


@contextmanager
def exclusive(engine: Engine) -> Iterator[None]:
    """Make processes that use the same Optuna database wait for each other; a killed process releases the lock."""
    if engine.dialect.name == SQLITE:
        with FileLock(f"{engine.url.database}.lock"):
            yield
    else:
        with engine.begin() as connection:  # a row that Optuna never locks
            connection.execute(text("SELECT version_info_id FROM version_info FOR UPDATE"))
            yield


def _raise_with_name(context: ExceptionContext) -> None:
    error = context.original_exception
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF  # the higher bits hold details
    if code in _CANNOT_WRITE and context.engine is not None:
        raise InputError(
            f"{context.engine.url.database}: cannot be written ({error}), earlier content is unchanged; free disk "
            "space or make the file writable, and run again"
        ) from error
