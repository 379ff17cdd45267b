"""Read the Keras backend and the rank of this process from environment variables. Keras is not imported."""

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from goodbad_pipeline.errors import InputError, install_command

logger = logging.getLogger(__name__)

BACKENDS = ("tensorflow", "jax")
_PORTS = (1, 65535)
_SLURM = "SLURM_"


@dataclass(frozen=True)
class ProcessInfo:
    """The rank of this process, and the processes with which it trains."""

    coordinator: str  # ``host:port`` at which process 0 waits for the other processes
    count: int  # number of processes, at least 2
    index: int  # rank of this process, from 0


@dataclass(frozen=True)
class LauncherVariables:
    """Names of the environment variables that a launcher sets."""

    host: str
    port: str | None
    count: str
    index: str


LAUNCHERS = (
    LauncherVariables(
        "KERAS_DISTRIBUTION_JOB_ADDRESSES", None, "KERAS_DISTRIBUTION_NUM_PROCESSES", "KERAS_DISTRIBUTION_PROCESS_ID"
    ),
    LauncherVariables("COORDINATOR_ADDRESS", "COORDINATOR_PORT", "NUM_PROCESSES", "PROCESS_ID"),  # Kubeflow's JAXJob
    LauncherVariables("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK"),  # Kubeflow's PyTorchJob, torchrun
    LauncherVariables("SLURM_STEP_NODELIST", "SLURM_JOB_ID", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)
"""The launchers in order of preference: variables that users set come before variables of a scheduler."""


def require_backend() -> None:
    """Raise `InputError` if the Keras backend is not supported or not installed. The backend is not imported."""
    name = os.environ.get("KERAS_BACKEND") or BACKENDS[0]
    if name not in BACKENDS:
        raise InputError(f"KERAS_BACKEND: must be {' or '.join(BACKENDS)}, got {name!r}")
    if find_spec(name) is None:
        raise InputError(f"KERAS_BACKEND: {name} is not installed; {install_command(name)}")


def read_process_info(environment: Mapping[str, str]) -> ProcessInfo | None:
    """Return the rank and coordinator of this process, or None if the environment describes a single process.

    Raises:
        InputError: A variable is missing or invalid.
    """
    for names in LAUNCHERS:
        present = [name for name in (names.count, names.index) if name in environment]
        if len(present) == 1 and not names.index.startswith(_SLURM):  # outside srun, Slurm describes one process
            missing = names.index if present == [names.count] else names.count
            raise InputError(f"{missing}: must be set, because {present[0]} is set")
        if len(present) == 2 and environment[names.count] != "1":
            return _process_info(names, environment)
    return None


def check_process_role(info: ProcessInfo | None, *, distributed: bool, follows: bool) -> None:
    """Raise `InputError` unless process 0 runs the pipeline ``train`` and all other processes run ``follow``.

    ``follows`` is true if this process runs ``follow``.
    """
    if follows and not distributed:
        raise InputError("training.distributed: must be true with --pipeline=follow, got False")
    if follows and info is None:
        raise InputError(
            "--pipeline=follow: the environment describes a single process, so there is no process to follow; "
            "docs/cluster.md lists the variables to set"
        )
    if info is None and distributed:
        logger.warning("training.distributed: the environment describes a single process, which trains alone")
    if info is not None and follows != (info.index > 0):
        right = "--pipeline=follow" if info.index else "--pipeline=train"
        raise InputError(
            f"process {info.index} must run {right}: process 0 trains and stores the model, and all other processes "
            "follow process 0"
        )


def _process_info(names: LauncherVariables, environment: Mapping[str, str]) -> ProcessInfo:
    missing = [name for name in (names.host, names.port) if name and not environment.get(name)]
    if missing:
        raise InputError(f"{missing[0]}: must be set, because {names.index} is set")
    count = _number(names.count, environment[names.count], 1, 2**20)
    index = _number(names.index, environment[names.index], 0, count - 1)
    return ProcessInfo(_coordinator(names, environment), count, index)


def _coordinator(names: LauncherVariables, environment: Mapping[str, str]) -> str:
    address = environment[names.host]
    if names.port is None:
        host, _, port = address.split(",")[0].rpartition(":")
        if not host:
            raise InputError(f"{names.host}: must be host:port, got {address!r}")
        return f"{host}:{_number(names.host, port, *_PORTS)}"
    if names.host.startswith(_SLURM):
        # Like JAX, derive a port for each job from its id, in the range without registered services.
        return f"{_first_host(address)}:{61440 + _number(names.port, environment[names.port], 0, 2**63) % 4096}"
    return f"{address.split(',')[0]}:{_number(names.port, environment[names.port], *_PORTS)}"


def _number(name: str, text: str, low: int, high: int) -> int:
    if not re.fullmatch(r"\d{1,19}", text, re.ASCII) or not low <= int(text) <= high:
        raise InputError(f"{name}: must be a whole number from {low} to {high}, got {text!r}")
    return int(text)


def _first_host(nodes: str) -> str:
    """Return the first host of a Slurm list: ``node003`` for ``node[003-006,9],other``."""
    first = re.match(r"([^\[,]+)(?:\[([^\],-]+))?", nodes)
    if first is None:
        raise InputError(f"SLURM_STEP_NODELIST: must name a host, got {nodes!r}")
    return first[1] + (first[2] or "")
