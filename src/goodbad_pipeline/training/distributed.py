"""Strategies: train one network on one device, on several devices, or in several processes.

All processes run the same code and must make the same decisions. So the strategy exchanges validation predictions and
stop requests between processes. JAX exchanges the gradients.
"""

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import keras
import numpy as np

from goodbad_pipeline.errors import InputError, install_command
from goodbad_pipeline.networks.layers import renew_standardisation
from goodbad_pipeline.training.environment import ProcessInfo, read_process_info

if keras.backend.backend() == "jax":
    import jax
    from jax.experimental import multihost_utils
else:
    import tensorflow as tf

logger = logging.getLogger(__name__)


class SingleProcess:
    """Training in one process on one device. All other strategies are subclasses.

    The model that a strategy trains is called replica. Here it is the network itself, in subclasses a copy.
    """

    process_count, process_index = 1, 0

    def scope(self) -> AbstractContextManager[None]:
        """Return the context in which a replica is created and compiled."""
        return nullcontext()

    def training_scope(self) -> AbstractContextManager[None]:
        """Return the context in which a replica is trained and validated."""
        return self.scope()

    def train_step(self, model: keras.Model, batch: tuple[Any, ...]) -> dict[str, float]:
        """Train a compiled model on a batch and return its loss and metrics."""
        return model.train_on_batch(*batch, return_dict=True)

    def replicate(self, model: keras.Model) -> keras.Model:
        """Return the replica of ``model`` to train. Predictions in this process use ``model`` itself."""
        return model

    def update(self, model: keras.Model, replica: keras.Model) -> None:
        """Copy the values of the replica to ``model``. Here both are the same object, so nothing is copied."""

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Concatenate the rows of all processes, in the order of their ranks: shape (all rows, …)."""
        return values

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        return flag

    def all_equal(self, text: str) -> bool:
        """Return whether all processes pass the same text."""
        digests = self.gather(np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)[None])
        return bool((digests == digests[0]).all())

    def shutdown(self) -> None:
        """Disconnect from the other processes."""

    def data_shards(self, total: int) -> range:
        """Return the indices of the shards that this process reads. Each process reads the same number of shards."""
        if total % self.process_count:
            raise InputError(
                f"training.data_shards: must be a multiple of the process count, {self.process_count}; got {total}"
            )
        each = total // self.process_count
        return range(self.process_index * each, (self.process_index + 1) * each)


Strategy = SingleProcess  # the type of all strategies
SINGLE_PROCESS = SingleProcess()


class DataParallel(SingleProcess):
    """Training on several devices. Each device holds the same variables and processes an equal part of every batch."""

    def __init__(self, distribution: Any) -> None:
        self._distribution = distribution  # Keras's distribution or TensorFlow's strategy

    def scope(self) -> AbstractContextManager[None]:
        """Return the context in which variables are created on all devices."""
        return self._distribution.scope()

    def replicate(self, model: keras.Model) -> keras.Model:
        """Return a copy of ``model`` on all devices."""
        replica = keras.models.clone_model(model)
        copy_variables(model, replica)
        return replica

    def update(self, model: keras.Model, replica: keras.Model) -> None:
        """Copy the values of the replica to ``model``."""
        copy_variables(replica, model)


class MirroredDataParallel(DataParallel):
    """Training on several GPUs with TensorFlow. Gradients and batch statistics are computed over whole batches.

    Each device processes one part of a batch. Dropout has the same random state on every device, so all parts have the
    same dropout mask. On a single device, all images of a batch have different masks.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        super().__init__(_mirrored_strategy(tuple(devices)))

    def training_scope(self) -> AbstractContextManager[None]:
        """Return a context that does nothing, because in `scope` every device would predict all validation images."""
        return nullcontext()

    def replicate(self, model: keras.Model) -> keras.Model:
        """Return a copy of ``model`` on all devices, with synchronised batch statistics."""
        replica = super().replicate(model)
        for layer in replica.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True
        return replica

    def train_step(self, model: keras.Model, batch: tuple[Any, ...]) -> dict[str, float]:
        """Divide a batch among the devices, train on it, and return its loss and metrics."""
        if model.train_function is None:  # Keras needs the shape of a whole batch, which distributed values lack
            model._maybe_symbolic_build(data_batch=(*batch, None)[:3])
        count = self._distribution.num_replicas_in_sync
        parts = list(zip(*(np.split(values, count) for values in batch), strict=True))
        distributed = self._distribution.experimental_distribute_values_from_function(
            lambda context: tuple(map(keras.ops.convert_to_tensor, parts[context.replica_id_in_sync_group]))
        )
        return super().train_step(model, distributed)


class MultiProcess(DataParallel):
    """Training in several processes that JAX connects. Each process has one or more devices."""

    def __init__(self, info: ProcessInfo) -> None:
        super().__init__(keras.distribution.DataParallel(auto_shard_dataset=False))
        self.process_count, self.process_index = info.count, info.index

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Concatenate the rows of all processes, in the order of their ranks: shape (all rows, …)."""
        sizes = self._exchange(np.array([len(values)])).ravel()
        padding = [(0, sizes.max() - len(values)), *[(0, 0)] * (values.ndim - 1)]
        parts = self._exchange(np.pad(values, padding))
        return np.concatenate([part[:size] for part, size in zip(parts, sizes, strict=True)])

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        return bool(self._exchange(np.array([flag])).any())

    def shutdown(self) -> None:
        """Disconnect from the other processes."""
        jax.distributed.shutdown()

    def _exchange(self, values: np.ndarray) -> np.ndarray:
        """Stack arrays of equal shape, one from each process: shape (processes, …)."""
        return np.asarray(multihost_utils.process_allgather(values))


def join_processes(environment: Mapping[str, str] = os.environ) -> ProcessInfo | None:
    """Connect this process to the other processes that the environment describes, if it is not connected yet.

    This must happen before devices are initialised. Return None if the environment describes a single process.

    Raises:
        InputError: The environment is incomplete, or the Keras backend is not JAX.
    """
    info = read_process_info(environment)
    if info is None:
        return None
    if keras.backend.backend() != "jax":
        raise InputError(
            f"training.distributed: {info.count} processes can train together only with KERAS_BACKEND=jax, got "
            f"{keras.backend.backend()}; {install_command('jax')}, or set training.distributed=false"
        )
    if not jax.distributed.is_initialized():
        jax.config.update("jax_cpu_collectives_implementation", "gloo")  # for CPUs; GPUs use NCCL
        keras.distribution.initialize(info.coordinator, info.count, info.index)
        logger.info("Process %d of %d is connected; coordinator: %s", info.index + 1, info.count, info.coordinator)
    return info


def choose_strategy(gpus: int, *, distributed: bool = False) -> Strategy:
    """Return the strategy for training on ``gpus`` GPUs or on a CPU.

    If ``distributed``, this process trains together with the other processes that the environment describes.
    """
    info = join_processes() if distributed else None
    if info is not None:
        return MultiProcess(info)
    if gpus < 2:
        return SINGLE_PROCESS
    if keras.backend.backend() == "tensorflow":
        return MirroredDataParallel([f"GPU:{number}" for number in range(gpus)])
    devices = keras.distribution.list_devices()[:gpus]
    return DataParallel(keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False))


def copy_variables(source: keras.Model, target: keras.Model) -> None:
    """Copy the values of all variables to a network with the same layers."""
    for variable, value in zip(target.variables, source.variables, strict=True):
        variable.assign(np.array(value))
    renew_standardisation(target)


@cache
def _mirrored_strategy(devices: tuple[str, ...]) -> Any:
    """Return one strategy for all trainings on these devices. Several strategies would mix up their messages."""
    return tf.distribute.MirroredStrategy(list(devices))
