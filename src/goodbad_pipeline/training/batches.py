"""Make batches from an array of images. Order and augmentation depend only on the seed and the step."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import keras
import numpy as np

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.training.augmentation import LayerAugmenter, augment, augment_on_device, draw_changes
from goodbad_pipeline.training.devices import count_gpus
from goodbad_pipeline.training.recipe import Augmentation


@dataclass
class TrainingBatches:
    """An endless stream of shuffled, augmented batches. A step always has the same batch.

    The images are shuffled anew for each pass. A batch may contain the last images of one pass and the first images of
    the next pass. All batches are full: the train step is compiled only once, and every image has the same weight.

    The images are divided into ``data_shards`` shards. Each shard is shuffled on its own and fills an equal part of
    each batch.
    """

    pixels: np.ndarray  # uint8, shape (N, side, side, 3), may be memory-mapped; or features (N, c) without augmentation
    rows: np.ndarray  # indices of the n training images in ``pixels``
    targets: np.ndarray  # float32, shape (n, classes)
    _: KW_ONLY
    batch_size: int
    seed: int
    augmentation: Augmentation | None
    class_weights: np.ndarray | None = None  # weight of each class in the loss: shape (classes,)
    data_shards: int = 1
    shards: Sequence[int] | None = None  # consecutive shards that this process reads; None means all
    on_device: bool = False  # whether Keras augments on the GPU, with slightly different rounding; needs one shard

    def __post_init__(self) -> None:
        if self.batch_size % self.data_shards:
            raise InputError(
                f"training.batch_size: must be a multiple of training.data_shards ({self.data_shards}), got "
                f"{self.batch_size}"
            )
        if len(self.rows) < self.data_shards:
            raise InputError(
                f"training.data_shards: must be at most {len(self.rows)}, the number of train images; got "
                f"{self.data_shards}"
            )
        kinds = self.augmentation
        self._layers = LayerAugmenter(kinds) if kinds is not None and kinds.by_layers else None

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches after which every image has occurred at least once."""
        return -(-len(self._shard(0)) // (self.batch_size // self.data_shards))  # the first shard is the largest

    def __getitem__(self, step: int) -> tuple[Any, ...]:
        """Return the batch of a step (0, 1, …): pixels (b, …) and targets (b, classes).

        Pixels are 0–255 and uint8, or float32 if Keras augmented the images. If there are class weights, the third
        array has the weight of each image (b,).
        """
        shards = range(self.data_shards) if self.shards is None else self.shards
        parts = [self._images(step, shard) for shard in shards]
        pixels, targets = (np.concatenate(both) for both in zip(*parts, strict=True)) if len(parts) > 1 else parts[0]
        return (pixels, targets) if self.class_weights is None else (pixels, targets, targets @ self.class_weights)

    def _images(self, step: int, shard: int) -> tuple[Any, np.ndarray]:
        chosen = self._chosen(step, shard)
        pixels = self.pixels[self.rows[chosen]]
        if self.augmentation is None:
            return pixels, self.targets[chosen]
        rng = np.random.default_rng([self.seed, *divmod(step, self.steps_per_epoch), *self._shard_seed(shard)])
        changes = draw_changes(len(pixels), pixels.shape[1:3], self.augmentation, rng)
        changed = (augment_on_device if self.on_device else augment)(pixels, changes)
        if self._layers is None:
            return changed, self.targets[chosen]
        return self._layers(changed, self.targets[chosen], (self.seed, step, *self._shard_seed(shard)))

    def _shard_seed(self, shard: int) -> tuple[int, ...]:
        """Return the part of the seed that differs between shards; it is empty if there is only one shard."""
        return (shard,) if self.data_shards > 1 else ()

    def _shard(self, shard: int) -> np.ndarray:
        return np.arange(shard, len(self.rows), self.data_shards)

    def _chosen(self, step: int, shard: int) -> np.ndarray:
        """Return the indices into ``rows`` of the images that a shard contributes to a step."""
        indices, size = self._shard(shard), self.batch_size // self.data_shards
        shuffles, positions = np.divmod(np.arange(size) + step * size, len(indices))
        orders = {
            number: np.random.default_rng([self.seed, number, *self._shard_seed(shard)]).permutation(indices)
            for number in np.unique(shuffles).tolist()
        }
        return np.array(
            [orders[number][position] for number, position in zip(shuffles.tolist(), positions, strict=True)]
        )


def balanced_weights(targets: np.ndarray) -> np.ndarray:
    """Return class weights (float32) that give all classes equal influence. The mean weight of an image is 1.

    ``targets`` are one-hot vectors.
    """
    counts = targets.sum(axis=0)
    return (len(targets) / (np.count_nonzero(counts) * np.maximum(counts, 1))).astype(np.float32)


def prediction_batch() -> int:
    """Return the number of images per batch of predictions.

    On a CPU the number is small: the last batch needs less padding, and a batch fits into the caches.
    """
    return 64 if count_gpus() else 32


def predict(
    model: keras.Model,
    pixels: np.ndarray,
    rows: np.ndarray,
    batch_size: int | None = None,
    check_stop: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Return the model's outputs for ``pixels[rows]``: float32, shape (len(rows), outputs).

    ``batch_size`` is :func:`prediction_batch` by default. The last batch is padded to this size, because a graph for
    another shape would take seconds to build. ``check_stop`` is called after each batch and may raise to end the
    prediction.
    """
    outputs, batch_size = [], batch_size or prediction_batch()
    for start in range(0, len(rows), batch_size):
        block = pixels[rows[start : start + batch_size]]
        count = len(block)
        if count < batch_size:
            block = np.concatenate([block, block[-1:].repeat(batch_size - count, axis=0)])
        outputs.append(keras.ops.convert_to_numpy(model.predict_on_batch(block))[:count])
        check_stop()
    return np.concatenate(outputs).astype(np.float32)
