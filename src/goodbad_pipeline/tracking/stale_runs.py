"""Runs that MLflow believes to go on, though their process is no more: killed, out of memory, out of power."""

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.environment_variables import MLFLOW_RUN_CONTEXT

from goodbad_pipeline.tracking.process_identity import ProcessMark, this_process
from goodbad_pipeline.tracking.server import KILLED

logger = logging.getLogger(__name__)

PREFIX = "process."
STOPPED, FAILURE = "stopped", "failure"  # tags that say how a run ended that did not finish


def process_tags() -> dict[str, str]:
    """Return the tags that say which process a run belongs to."""
    return {f"{PREFIX}{name}": str(value) for name, value in asdict(this_process()).items()}


@contextlib.contextmanager
def marked_runs() -> Iterator[None]:
    """Have MLflow create runs with the tags of this process: one that is killed before it sets any is known too."""
    name, told = MLFLOW_RUN_CONTEXT.name, MLFLOW_RUN_CONTEXT.get()
    tags = {}
    with contextlib.suppress(ValueError):  # MLflow warns of it, and goes on without
        tags = dict(json.loads(told or "{}"))
    os.environ[name] = json.dumps({**tags, **process_tags()})
    try:
        yield
    finally:
        if told is None:
            del os.environ[name]
        else:
            os.environ[name] = told


def close_stale_runs(experiment_id: str) -> int:
    """End, as killed, the runs of this machine whose process has ended without a word; returns how many."""
    client = MlflowClient()
    of_this_machine = f"attributes.status = 'RUNNING' and tags.`{PREFIX}host` = '{this_process().host}'"
    dead = [run for run in client.search_runs([experiment_id], of_this_machine) if _has_ended(run.data.tags)]
    for run in dead:
        client.set_tag(run.info.run_id, STOPPED, f"process {run.data.tags[f'{PREFIX}pid']} ended without a word")
        client.set_terminated(run.info.run_id, KILLED)
        logger.info("MLflow run '%s' (%s): its process is no more; closed", run.info.run_name, run.info.run_id)
    return len(dead)


def forget_end(run: Run) -> None:
    """Remove from a run that goes on what said how it ended."""
    client = MlflowClient()
    for name in (STOPPED, FAILURE):
        if name in client.get_run(run.info.run_id).data.tags:
            client.delete_tag(run.info.run_id, name)


def _has_ended(tags: dict[str, Any]) -> bool:
    with contextlib.suppress(KeyError, ValueError):  # tags of somebody else's
        mark = ProcessMark(
            host=tags[f"{PREFIX}host"],
            boot=tags[f"{PREFIX}boot"],
            pid=int(tags[f"{PREFIX}pid"]),
            started=float(tags[f"{PREFIX}started"]),
        )
        return mark.has_ended()
    return False
