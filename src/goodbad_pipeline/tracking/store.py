"""The MLflow store of a project: find its location, lock the store while it is created, check that it is available."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock

from goodbad_pipeline import lazy
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.tracking.server import is_temporary

databases = lazy.load("goodbad_pipeline.databases")  # imports SQLAlchemy

SQLITE = "sqlite:///"


def resolve_store(settings: dict[str, Any], root: Path) -> dict[str, Any]:
    """Return the settings of ``mlflow.yml`` with the final location of the store.

    The environment variable ``MLFLOW_TRACKING_URI`` overrides the location in the settings. A relative path of a sqlite
    file is relative to the project's ``root``; artifacts are stored next to that file.
    """
    server, tracking = dict(settings["server"]), dict(settings["tracking"])
    uri = os.environ.get("MLFLOW_TRACKING_URI") or server["mlflow_tracking_uri"]
    if uri is None:
        raise InputError(
            "conf, mlflow: server.mlflow_tracking_uri must be a location such as sqlite:///mlflow.db, got null; if "
            "`kedro mlflow init` wrote conf/local/mlflow.yml, remove that file and change conf/base/mlflow.yml"
        )
    if uri.startswith(SQLITE):
        database = root / uri.removeprefix(SQLITE)
        uri = f"{SQLITE}{database}"
        creation = tracking["experiment"].get("create_experiment_kwargs") or {}
        creation = {"artifact_location": str(database.parent / "mlartifacts"), **creation}
        tracking["experiment"] = {**tracking["experiment"], "create_experiment_kwargs": creation}
    server["mlflow_tracking_uri"] = uri
    return {**settings, "server": server, "tracking": tracking}


def ui_command(uri: str) -> str:
    """Return how to view a store from any folder: the command for a local store, or the address of a server."""
    return f"`mlflow ui --backend-store-uri {uri}`" if "sql" in uri.partition(":")[0] else uri


@contextmanager
def lock_store(uri: str) -> Iterator[None]:
    """Lock a local database, because it would be damaged if several processes created its tables at the same time.

    After this call, the error for a database that cannot be written also contains the path of the file.
    """
    if not uri.startswith(SQLITE):
        yield
        return
    databases.name_databases()
    database = Path(uri.removeprefix(SQLITE))
    with FileLock(f"{database}.lock"), nullcontext() if database.exists() else databases.created_quickly():
        yield


@contextmanager
def require_server(uri: str) -> Iterator[None]:
    """Raise `InputError` if the server is unavailable or denies access."""
    try:
        yield
    except Exception as error:
        if not is_temporary(error) or uri.startswith(SQLITE):
            raise
        raise InputError(
            f"MLflow at {uri} is unavailable or denies access ({str(error)[:200]}): start the server, check your "
            "credentials, set MLFLOW_TRACKING_URI to another server, or run with --params=tracking.offline=true, which "
            "logs to the outbox"
        ) from error
