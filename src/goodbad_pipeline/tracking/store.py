"""Where runs are tracked, and that it is there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from goodbad_pipeline.databases import name_databases
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.tracking.server import may_change

SQLITE = "sqlite:///"


def anchor_store(settings: dict[str, Any], root: Path) -> dict[str, Any]:
    """Let the user's MLFLOW_TRACKING_URI win, a relative sqlite file start at the root, artifacts lie beside it."""
    server, tracking = dict(settings["server"]), dict(settings["tracking"])
    uri = os.environ.get("MLFLOW_TRACKING_URI") or server["mlflow_tracking_uri"]
    if uri.startswith(SQLITE):
        database = root / uri.removeprefix(SQLITE)
        uri = f"{SQLITE}{database}"
        experiment = {**tracking["experiment"]}
        creation = experiment.get("create_experiment_kwargs") or {}
        artifacts = str(database.parent / "mlartifacts")
        experiment["create_experiment_kwargs"] = {"artifact_location": artifacts, **creation}
        tracking["experiment"] = experiment
    server["mlflow_tracking_uri"] = uri
    return {**settings, "server": server, "tracking": tracking}


@contextmanager
def first_use(uri: str) -> Iterator[None]:
    """Hold a lock beside a local database: several processes that create its tables at once break it.

    If it cannot be written to, now or later, the error names it.
    """
    if not uri.startswith(SQLITE):
        yield
        return
    name_databases()
    with FileLock(f"{uri.removeprefix(SQLITE)}.lock"):
        yield


@contextmanager
def answering(uri: str) -> Iterator[None]:
    """Say in one line that a run cannot begin because a server does not answer, or lets nobody in.

    Raises:
        InputError: It does not.
    """
    try:
        yield
    except Exception as error:
        if not may_change(error) or uri.startswith(SQLITE):
            raise
        raise InputError(
            f"MLflow at {uri} does not answer, or not as it should: start the server, see to your access, set "
            "MLFLOW_TRACKING_URI to another, or run with --params=tracking.offline=true, which keeps what is logged "
            f"for later ({str(error)[:200]})"
        ) from error
