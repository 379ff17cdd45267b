"""One process with several devices, each of which takes an equal part of every batch."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import keras
import numpy as np

from goodbad_pipeline.training.distributed import DataParallel


class Mirrored(DataParallel):
    """Devices under TensorFlow, each with a copy of the network; gradients and batch statistics are of whole batches.

    States of dropout are the same on all devices: the parts of a batch drop alike, where one device would drop in each
    image anew.

    Args:
        devices: Their names, as TensorFlow has them.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        super().__init__(_strategy(tuple(devices)))

    def running(self) -> AbstractContextManager[None]:
        """Nothing: in the scope, asking the network that is not shared would ask every device the same."""
        return nullcontext()

    def trainee(self, model: keras.Model) -> keras.Model:
        """Return a copy that lies on all devices."""
        copy = super().trainee(model)
        for layer in copy.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True
        return copy

    def step(self, model: keras.Model, batch: tuple[np.ndarray, ...]) -> dict[str, float]:
        """Train on a batch, of which each device takes its part."""
        if model.train_function is None:  # what is built from the shapes of images cannot be from parts
            model._maybe_symbolic_build(data_batch=(*batch, None)[:3])
        count = self._distribution.num_replicas_in_sync
        parts = list(zip(*(np.split(values, count) for values in batch), strict=True))
        spread = self._distribution.experimental_distribute_values_from_function(
            lambda place: tuple(map(keras.ops.convert_to_tensor, parts[place.replica_id_in_sync_group]))
        )
        return super().step(model, spread)


@cache
def _strategy(devices: tuple[str, ...]) -> Any:
    """The strategy of these devices: a second one in a process confuses its messages with those of the first."""
    import tensorflow as tf  # noqa: PLC0415 - other backends come without

    return tf.distribute.MirroredStrategy(list(devices))


def spread_over(count: int) -> DataParallel:
    """Return the first so many GPUs as a team; under JAX they compute as if they were one."""
    if keras.backend.backend() != "tensorflow":
        devices = keras.distribution.list_devices()[:count]
        return DataParallel(keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False))
    return Mirrored([f"GPU:{number}" for number in range(count)])
