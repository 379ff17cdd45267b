"""Processes that train one network together, each on its share of the pictures; most often there is one.

Every process runs the same code and takes the same decisions, for all that a decision rests on is exchanged: a step's
gradients by JAX, answers about validation and wishes to stop by what is here.
"""

import hashlib
import logging
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.training.place import Place, read_place

logger = logging.getLogger(__name__)


class Alone:
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
        """Which of ``total`` shares of the pictures this process has.

        Raises:
            InputError: They cannot be dealt evenly.
        """
        if total % self.count:
            raise InputError(f"training.shares: must be a multiple of the {self.count} processes, got {total}")
        each = total // self.count
        return range(self.index * each, (self.index + 1) * each)


class Sharing(Alone):
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


class Team(Sharing):
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
    from goodbad_pipeline.efficientnet.layers import renew_standardisation  # noqa: PLC0415 - imports Keras

    for ours, theirs in zip(target.variables, source.variables, strict=True):
        ours.assign(np.array(theirs))
    renew_standardisation(target)


_team: Alone = Alone()


def team() -> Alone:
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
    _team = Alone()


def join_team(environment: Mapping[str, str] = os.environ) -> Alone:
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
    _team = Team(place)
    logger.info("Process %d of %d, %s", place.index + 1, place.count, place.coordinator)
    return _team
