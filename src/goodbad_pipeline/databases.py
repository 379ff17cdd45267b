"""Names the database that cannot be written to: what sqlite says about a full disk names no file."""

import sqlite3
from functools import cache
from typing import TYPE_CHECKING

from goodbad_pipeline.errors import InputError

if TYPE_CHECKING:  # half a second, which only runs that open a database need to spend
    from sqlalchemy.engine import ExceptionContext

_CANNOT_WRITE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}


@cache
def name_databases() -> None:
    """From now on in this process, MLflow's and Optuna's sqlite files are named where they cannot be written to.

    Both go through SQLAlchemy, which asks here before it raises anything.
    """
    from sqlalchemy import Engine, event  # noqa: PLC0415

    event.listen(Engine, "handle_error", _name)


def _name(context: "ExceptionContext") -> None:
    error = context.original_exception
    kind = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF  # what is above says more, such as in which call
    if kind in _CANNOT_WRITE and context.engine is not None:
        raise InputError(
            f"{context.engine.url.database}: cannot be written ({error}); what was there before is untouched"
        ) from error
