"""Make batches from an array of images. Order and augmentation depend only on the seed and the step."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.training.augmentation import LayerAugmenter, augment, augment_on_device, draw_changes
from goodbad_pipeline.training.recipe import Augmentation


class TrainingBatches(keras.utils.PyDataset):
    """An endless stream of shuffled, augmented batches. A step always has the same batch.

    All images are shuffled again and again, and batches are cut from the resulting sequence. So each batch is full: the
    train step is compiled for one shape only, and every image has the same weight.

    The images are divided into ``data_shards`` shards. Each shard is shuffled on its own and fills an equal part of
    each batch. This process reads the consecutive ``shards``; None means all. If ``on_device`` is true, which requires
    one shard, Keras augments the batches on the GPU; they then differ from those of the CPU by rounding.

    ``pixels`` is uint8 of shape (N, side, side, 3) and may be memory-mapped. Without augmentation it can be features of
    shape (N, c). ``rows`` are the indices of the n training images. ``targets`` is float32 of shape (n, classes), and
    ``class_weights``, the weight of each class in the loss, has the shape (classes,).
    """

    def __init__(
        self,
        pixels: np.ndarray,
        rows: np.ndarray,
        targets: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        augmentation: Augmentation | None,
        class_weights: np.ndarray | None = None,
        data_shards: int = 1,
        shards: Sequence[int] | None = None,
        on_device: bool = False,
    ) -> None:
        super().__init__()
        if batch_size % data_shards:
            raise InputError(
                f"training.batch_size: must be a multiple of training.data_shards ({data_shards}), got {batch_size}"
            )
        if len(rows) < data_shards:
            raise InputError(f"training.data_shards: must be at most the {len(rows)} images, got {data_shards}")
        self._data_shards, self._shards = data_shards, range(data_shards) if shards is None else shards
        self._augment = augment_on_device if on_device else augment
        self.pixels, self.rows, self.targets = pixels, rows, targets
        self.batch_size, self.seed, self.augmentation = batch_size, seed, augmentation
        self._class_weights = class_weights
        self._layers = LayerAugmenter(augmentation) if augmentation is not None and augmentation.by_layers else None

    @property
    def num_batches(self) -> None:
        """None, which means that the stream is endless: Keras resets nothing between epochs."""
        return

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches after which every image has occurred at least once."""
        return -(-len(self._shard(0)) // (self.batch_size // self._data_shards))  # the first shard is the largest

    def __getitem__(self, step: int) -> tuple[Any, ...]:
        """Return the batch of a step (0, 1, …): pixels (b, …), targets (b, classes) and perhaps weights (b,).

        Pixels are 0–255 and uint8, or float32 if Keras augmented them. Weights are returned if there are class weights.
        """
        parts = [self._images(step, shard) for shard in self._shards]
        pixels, targets = (np.concatenate(both) for both in zip(*parts, strict=True)) if len(parts) > 1 else parts[0]
        return (pixels, targets) if self._class_weights is None else (pixels, targets, targets @ self._class_weights)

    def _images(self, step: int, shard: int) -> tuple[Any, np.ndarray]:
        chosen = self._chosen(step, shard)
        pixels = self.pixels[self.rows[chosen]]
        if self.augmentation is None:
            return pixels, self.targets[chosen]
        changes = draw_changes(len(pixels), pixels.shape[1:3], self.augmentation, self._rng(step, shard))
        changed = self._augment(pixels, changes)
        if self._layers is None:
            return changed, self.targets[chosen]
        return self._layers(changed, self.targets[chosen], (self.seed, step, *self._shard_seed(shard)))

    def _rng(self, step: int, shard: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *divmod(step, self.steps_per_epoch), *self._shard_seed(shard)])

    def _shard_seed(self, shard: int) -> tuple[int, ...]:
        """Return the part of the seed that differs between shards; it is empty if there is only one shard."""
        return (shard,) if self._data_shards > 1 else ()

    def _shard(self, shard: int) -> np.ndarray:
        return np.arange(shard, len(self.rows), self._data_shards)

    def _chosen(self, step: int, shard: int) -> np.ndarray:
        """Return the indices into ``rows`` of the images that a shard contributes to a step."""
        indices, size = self._shard(shard), self.batch_size // self._data_shards
        shuffles, positions = np.divmod(np.arange(size) + step * size, len(indices))
        orders = {
            number: np.random.default_rng([self.seed, number, *self._shard_seed(shard)]).permutation(indices)
            for number in np.unique(shuffles).tolist()
        }
        return np.array(
            [orders[number][position] for number, position in zip(shuffles.tolist(), positions, strict=True)]
        )


def balanced_weights(targets: np.ndarray) -> np.ndarray:
    """Return class weights that give all classes equal influence: float32; the mean over all images is 1.

    ``targets`` are one-hot vectors.
    """
    counts = targets.sum(axis=0)
    return (len(targets) / (np.count_nonzero(counts) * np.maximum(counts, 1))).astype(np.float32)


def predict(
    model: keras.Model,
    pixels: np.ndarray,
    rows: np.ndarray,
    batch_size: int = 64,
    check_stop: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Return the model's outputs for ``pixels[rows]``: float32, shape (len(rows), outputs).

    The last batch is padded to full size, because building a graph for another shape would take seconds. ``check_stop``
    is called after each batch and may raise to end the prediction.
    """
    outputs = []
    for start in range(0, len(rows), batch_size):
        block = pixels[rows[start : start + batch_size]]
        count = len(block)
        if count < batch_size:
            block = np.concatenate([block, block[-1:].repeat(batch_size - count, axis=0)])
        outputs.append(keras.ops.convert_to_numpy(model.predict_on_batch(block))[:count])
        check_stop()
    return np.concatenate(outputs).astype(np.float32)
