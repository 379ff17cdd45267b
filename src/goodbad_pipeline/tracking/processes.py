"""Identify processes across hosts and reboots, and close MLflow runs whose process was killed."""

import contextlib
import json
import logging
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import psutil
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.environment_variables import MLFLOW_RUN_CONTEXT

from goodbad_pipeline.tracking.server import KILLED

logger = logging.getLogger(__name__)

PREFIX = "process."
STOPPED_TAG, FAILURE_TAG = "stopped", "failure"  # why a run did not finish
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SAME_START = 60.0  # start times in seconds that differ by less are of one process; clocks may be adjusted


@dataclass(frozen=True)
class ProcessIdentity:
    """Identifies one process among all past and future processes."""

    host: str
    boot: str  # identifier of the host's current boot
    pid: int
    started: float  # seconds since 1970

    def has_ended(self) -> bool:
        """Return whether the process has certainly ended; False for a process on another host."""
        current = current_process()
        if self.host != current.host:
            return False
        if self.boot != current.boot:
            return True
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _SAME_START
            return not same or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False


def current_process() -> ProcessIdentity:
    """Return the identity of the calling process. A forked child has its own identity."""
    return ProcessIdentity(socket.gethostname(), _boot_id(), os.getpid(), psutil.Process().create_time())


def slurm_attempt() -> str:
    """Return ``<job id>.<number of requeues>`` in a Slurm job, such as ``4711.2``, and an empty string elsewhere."""
    job = os.environ.get("SLURM_JOB_ID")
    return f"{job}.{os.environ.get('SLURM_RESTART_COUNT', '0')}" if job else ""


def is_earlier_attempt(attempt: str) -> bool:
    """Return whether ``attempt`` is an earlier attempt of this Slurm job.

    Slurm starts an attempt only after the earlier attempts have ended on every host.
    """
    current = slurm_attempt()
    return bool(attempt) and attempt != current and attempt.partition(".")[0] == current.partition(".")[0]


def process_tags() -> dict[str, str]:
    """Return the tags that record which process a run belongs to."""
    return {f"{PREFIX}{name}": str(value) for name, value in asdict(current_process()).items()}


@contextlib.contextmanager
def tag_new_runs() -> Iterator[None]:
    """Make MLflow create runs with the tags of this process, so that a run is tagged even if the process is killed."""
    name, before = MLFLOW_RUN_CONTEXT.name, MLFLOW_RUN_CONTEXT.get()
    tags = {}
    with contextlib.suppress(ValueError):  # invalid JSON: MLflow warns of it and ignores it
        tags = dict(json.loads(before or "{}"))
    os.environ[name] = json.dumps({**tags, **process_tags()})
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def close_stale_runs(experiment_id: str) -> int:
    """Mark open MLflow runs as killed if their process on this host has ended. Return the number of these runs."""
    client = MlflowClient()
    of_this_host = f"attributes.status = 'RUNNING' and tags.`{PREFIX}host` = '{current_process().host}'"
    stale = [run for run in client.search_runs([experiment_id], of_this_host) if _has_ended(run.data.tags)]
    for run in stale:
        reason = f"process {run.data.tags[f'{PREFIX}pid']} ended without closing the run"
        client.set_tag(run.info.run_id, STOPPED_TAG, reason)
        client.set_terminated(run.info.run_id, KILLED)
        logger.info("Closed the MLflow run '%s' (%s): %s", run.info.run_name, run.info.run_id, reason)
    return len(stale)


def clear_end_tags(run: Run) -> None:
    """Remove the tags that record why a run ended, because the run is resumed."""
    client = MlflowClient()
    for name in (STOPPED_TAG, FAILURE_TAG):
        if name in client.get_run(run.info.run_id).data.tags:
            client.delete_tag(run.info.run_id, name)


@cache
def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:  # not Linux
        return str(round(psutil.boot_time() / 60))


def _has_ended(tags: dict[str, Any]) -> bool:
    try:
        host, boot, pid, started = (tags[f"{PREFIX}{field.name}"] for field in fields(ProcessIdentity))
        return ProcessIdentity(host, boot, int(pid), float(started)).has_ended()
    except (KeyError, ValueError):  # the run was not tagged by this project
        return False
