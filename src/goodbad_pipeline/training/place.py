"""Which of several processes this is, as those who started it say in the environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from goodbad_pipeline.errors import InputError


@dataclass(frozen=True)
class Place:
    """A process among those that train together.

    Attributes:
        coordinator: Host and port at which the first process awaits the others.
        count: How many there are.
        index: Which this is, from 0.
    """

    coordinator: str
    count: int
    index: int


@dataclass(frozen=True)
class _Names:
    """Variables of one kind of starter: where the coordinator is, how many processes, which one."""

    host: str
    port: str | None
    count: str
    index: str


STARTERS = (
    _Names(
        "KERAS_DISTRIBUTION_JOB_ADDRESSES", None, "KERAS_DISTRIBUTION_NUM_PROCESSES", "KERAS_DISTRIBUTION_PROCESS_ID"
    ),
    _Names("COORDINATOR_ADDRESS", "COORDINATOR_PORT", "NUM_PROCESSES", "PROCESS_ID"),  # Kubeflow's JAXJob
    _Names("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK"),  # Kubeflow's PyTorchJob, torchrun
    _Names("SLURM_STEP_NODELIST", "SLURM_JOB_ID", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)
"""In order of preference: what is said outright comes before what a scheduler says."""


def read_place(environment: Mapping[str, str]) -> Place | None:
    """Find this process's place; None where nobody speaks of several processes.

    Raises:
        InputError: Something that is needed is missing, or is no number in its range.
    """
    for names in STARTERS:
        if names.index in environment and environment.get(names.count, "1") != "1":
            return _read(names, environment)
    return None


def _read(names: _Names, environment: Mapping[str, str]) -> Place:
    missing = [name for name in (names.host, names.port, names.count) if name and name not in environment]
    if missing:
        raise InputError(f"{missing[0]}: must be set beside {names.index}, it is not")
    count = _number(names.count, environment, 1, 2**20)
    index = _number(names.index, environment, 0, count - 1)
    host = environment[names.host].split(",")[0]
    if names.host.startswith("SLURM"):
        host = _first_host(environment[names.host])
        # As JAX does: a port of its own for each job, from those that nobody else uses.
        return Place(f"{host}:{61440 + _number(str(names.port), environment, 0, 2**63) % 4096}", count, index)
    return Place(host if names.port is None else f"{host}:{environment[names.port]}", count, index)


def _number(name: str, environment: Mapping[str, str], low: int, high: int) -> int:
    text = environment[name]
    if not re.fullmatch(r"\d{1,19}", text, re.ASCII) or not low <= int(text) <= high:
        raise InputError(f"{name}: must be a whole number from {low} to {high}, got {text!r}")
    return int(text)


def _first_host(nodes: str) -> str:
    """``node[003-006,9],other`` → ``node003``."""
    first = re.match(r"([^\[,]+)(?:\[([^\],-]+))?", nodes)
    if first is None:
        raise InputError(f"SLURM_STEP_NODELIST: must name a host, got {nodes!r}")
    return first[1] + (first[2] or "")
