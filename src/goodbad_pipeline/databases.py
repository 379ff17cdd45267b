"""Create sqlite databases quickly, and name the database in error messages, because sqlite does not."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

from goodbad_pipeline.errors import InputError

_CANNOT_WRITE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}


@cache
def name_databases() -> None:
    """From now on in this process, name the file in errors of MLflow's and Optuna's sqlite databases.

    Both libraries use SQLAlchemy, which calls a listener before it raises an error.
    """
    event.listen(Engine, "handle_error", _raise_with_name)


@contextmanager
def created_quickly() -> Iterator[None]:
    """Keep sqlite from waiting for the disk, because MLflow creates a database in hundreds of transactions.

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


def _raise_with_name(context: ExceptionContext) -> None:
    error = context.original_exception
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF  # the higher bits hold details
    if code in _CANNOT_WRITE and context.engine is not None:
        raise InputError(
            f"{context.engine.url.database}: cannot be written ({error}), earlier content is unchanged; free disk "
            "space or make the file writable, and run again"
        ) from error
