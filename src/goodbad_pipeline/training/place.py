"""Which of several processes this is, as those who started it say in the environment."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

from goodbad_pipeline.errors import InputError

logger = logging.getLogger(__name__)

_PORTS, _SLURM = (1, 65535), "SLURM_"


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
        said = [name for name in (names.count, names.index) if name in environment]
        if len(said) == 1 and not names.index.startswith(_SLURM):  # a batch script outside srun is one process
            other = names.index if said == [names.count] else names.count
            raise InputError(f"{other}: must be set beside {said[0]}, it is not")
        if len(said) == 2 and environment[names.count] != "1":
            return _read(names, environment)
    return None


def check_place(place: Place | None, *, distributed: bool, follows: bool) -> None:
    """Hold what this process is about to do against its place: the first one keeps what all of them train.

    Args:
        place: Its place, None where it is alone.
        distributed: Whether it is to train together with others.
        follows: Whether it is to train along and keep nothing.

    Raises:
        InputError: It has nobody to follow, or the part of another.
    """
    if follows and not distributed:
        raise InputError("training.distributed: must be true with --pipeline=follow, got False")
    if follows and place is None:
        raise InputError(
            "--pipeline=follow: the environment speaks of no other process to train along with; docs/cluster.md tells "
            "what must be set"
        )
    if place is None and distributed:
        logger.warning("training.distributed: the environment speaks of no other process, this one trains alone")
    if place is not None and follows != (place.index > 0):
        right = "--pipeline=follow" if place.index else "--pipeline=train"
        raise InputError(
            f"process {place.index} of {place.count}, from 0: must run {right}; the first one alone keeps it"
        )


def _read(names: _Names, environment: Mapping[str, str]) -> Place:
    missing = [name for name in (names.host, names.port) if name and not environment.get(name)]
    if missing:
        raise InputError(f"{missing[0]}: must be set beside {names.index}, it is not")
    count = _number(names.count, environment[names.count], 1, 2**20)
    index = _number(names.index, environment[names.index], 0, count - 1)
    return Place(_coordinator(names, environment), count, index)


def _coordinator(names: _Names, environment: Mapping[str, str]) -> str:
    said = environment[names.host]
    if names.port is None:
        host, _, port = said.split(",")[0].rpartition(":")
        if not host:
            raise InputError(f"{names.host}: must be host:port, got {said!r}")
        return f"{host}:{_number(names.host, port, *_PORTS)}"
    if names.host.startswith(_SLURM):
        # As JAX does: a port of its own for each job, from those that nobody else uses.
        return f"{_first_host(said)}:{61440 + _number(names.port, environment[names.port], 0, 2**63) % 4096}"
    return f"{said.split(',')[0]}:{_number(names.port, environment[names.port], *_PORTS)}"


def _number(name: str, text: str, low: int, high: int) -> int:
    if not re.fullmatch(r"\d{1,19}", text, re.ASCII) or not low <= int(text) <= high:
        raise InputError(f"{name}: must be a whole number from {low} to {high}, got {text!r}")
    return int(text)


def _first_host(nodes: str) -> str:
    """``node[003-006,9],other`` → ``node003``."""
    first = re.match(r"([^\[,]+)(?:\[([^\],-]+))?", nodes)
    if first is None:
        raise InputError(f"SLURM_STEP_NODELIST: must name a host, got {nodes!r}")
    return first[1] + (first[2] or "")
