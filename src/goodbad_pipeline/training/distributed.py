"""Processes that train one network together, each on its share of the images; most often there is one.

Every process runs the same code and takes the same decisions, for all that a decision rests on is exchanged: a step's
gradients by JAX, answers about validation and wishes to stop by what is here.
"""

import hashlib
import logging
import os
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from goodbad_pipeline.errors import InputError

logger = logging.getLogger(__name__)


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


class SingleProcess:
    """One process, which has nobody to ask.

    Attributes:
        count: Number of processes.
        index: Which this is, from 0; the first one writes what is to be written.
    """

    count, index = 1, 0

    def scope(self) -> AbstractContextManager[None]:
        """Where a network that all train is made and compiled."""
        return nullcontext()

    def running(self) -> AbstractContextManager[None]:
        """Where it is trained."""
        return self.scope()

    def step(self, model: Any, batch: tuple[np.ndarray, ...]) -> dict[str, float]:
        """Train a compiled network on a batch; returns its loss and measures."""
        return model.train_on_batch(*batch, return_dict=True)

    def trainee(self, model: Any) -> Any:
        """Return the network that is trained in place of ``model``, which stays this process's own to ask."""
        return model

    def update(self, model: Any, trainee: Any) -> None:
        """Give ``model`` the values of the network that all train."""

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Put together the rows of all processes, in their order: shape (all rows, …)."""
        return values

    def any(self, wish: bool) -> bool:
        """Whether some process wishes it."""
        return wish

    def agree(self, text: str) -> bool:
        """Whether all processes say the same."""
        said = self.gather(np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)[None])
        return bool((said == said[0]).all())

    def leave(self) -> None:
        """Let the others go."""

    def shares(self, total: int) -> range:
        """Which of ``total`` shares of the images this process has.

        Raises:
            InputError: They cannot be dealt evenly.
        """
        if total % self.count:
            raise InputError(f"training.shares: must be a multiple of the {self.count} processes, got {total}")
        each = total // self.count
        return range(self.index * each, (self.index + 1) * each)


class DataParallel(SingleProcess):
    """Devices, of one process or of several, that train one network.

    Args:
        distribution: What has a scope for variables that lie on all of them: Keras's, or TensorFlow's strategy.
    """

    def __init__(self, distribution: Any) -> None:
        self._distribution = distribution

    def scope(self) -> AbstractContextManager[None]:
        """Where variables are those of all devices."""
        return self._distribution.scope()

    def trainee(self, model: Any) -> Any:
        """Return a copy that lies on all devices."""
        import keras  # noqa: PLC0415 - seconds

        copy = keras.models.clone_model(model)
        copy_variables(model, copy)
        return copy

    def update(self, model: Any, trainee: Any) -> None:
        """Give ``model`` the values of the network that is trained."""
        copy_variables(trainee, model)


class MultiProcess(DataParallel):
    """Processes that JAX connects, with one device each or more.

    Args:
        place: This process's.
    """

    def __init__(self, place: Place) -> None:
        import jax  # noqa: PLC0415 - an extra
        import keras  # noqa: PLC0415 - seconds

        jax.config.update("jax_cpu_collectives_implementation", "gloo")  # what CPUs speak; GPUs have NCCL
        keras.distribution.initialize(place.coordinator, place.count, place.index)
        self.count, self.index = place.count, place.index
        super().__init__(keras.distribution.DataParallel(auto_shard_dataset=False))

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Put together the rows of all processes, in their order: shape (all rows, …)."""
        sizes = self._exchange(np.array([len(values)])).ravel()
        filling = [(0, sizes.max() - len(values)), *[(0, 0)] * (values.ndim - 1)]
        parts = self._exchange(np.pad(values, filling))
        return np.concatenate([part[:size] for part, size in zip(parts, sizes, strict=True)])

    def any(self, wish: bool) -> bool:
        """Whether some process wishes it."""
        return bool(self._exchange(np.array([wish])).any())

    def leave(self) -> None:
        """Let the others go; what follows concerns one process alone."""
        import jax  # noqa: PLC0415

        jax.distributed.shutdown()

    def _exchange(self, values: np.ndarray) -> np.ndarray:
        """Arrays of one shape, this process's and the others': shape (processes, …)."""
        from jax.experimental import multihost_utils  # noqa: PLC0415

        return np.asarray(multihost_utils.process_allgather(values))


def copy_variables(source: Any, target: Any) -> None:
    """Give a network the values of another with the same layers."""
    from goodbad_pipeline.networks.layers import renew_standardisation  # noqa: PLC0415 - imports Keras

    for ours, theirs in zip(target.variables, source.variables, strict=True):
        ours.assign(np.array(theirs))
    renew_standardisation(target)


_team: SingleProcess = SingleProcess()


def team() -> SingleProcess:
    """Return those that this process trains with."""
    return _team


def spread_over_gpus(count: int) -> None:
    """Let so many GPUs of this process train together from now on, if it has no team of processes."""
    global _team  # noqa: PLW0603 - a process is in one team at a time
    if _team.count > 1:
        return
    from goodbad_pipeline.training.replicas import spread_over  # noqa: PLC0415 - seconds

    _team = spread_over(count)


def leave_team() -> None:
    """End what processes have in common, once they have trained."""
    global _team  # noqa: PLW0603
    _team.leave()
    _team = SingleProcess()


def join_team(environment: Mapping[str, str] = os.environ) -> SingleProcess:
    """Meet the other processes that the environment speaks of, before anything is computed; once in a process's life.

    Raises:
        InputError: The environment is incomplete, or Keras runs on another backend than JAX.
    """
    global _team  # noqa: PLW0603 - a process is in one team for good
    place = read_place(environment)
    if place is None or _team.count > 1:
        return _team
    import keras  # noqa: PLC0415

    if keras.backend.backend() != "jax":
        raise InputError(
            f"training.distributed: {place.count} processes train together with KERAS_BACKEND=jax alone, got "
            f"{keras.backend.backend()}; install the extra 'jax', or set training.distributed=false"
        )
    _team = MultiProcess(place)
    logger.info("Process %d of %d, %s", place.index + 1, place.count, place.coordinator)
    return _team


_PORTS, _SLURM = (1, 65535), "SLURM_"


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
