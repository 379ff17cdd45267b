"""Batches from an array of pixels: which images, in which order and how changed is drawn from (seed, step) alone."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.training.augmentation import LayerAugmenter, augment, augment_on_device, draw
from goodbad_pipeline.training.recipe import Augmentation


class TrainingBatches(keras.utils.PyDataset):
    """Endless shuffled, augmented batches; step i gives the same batch whoever asks, and whenever.

    What is made on a device and on the host differs by the rounding to bytes.

    One shuffle of all images follows another, and batches are cut from that: each is full, so that steps are compiled
    for one shape and weigh every image alike.

    Args:
        pixels: uint8, shape (N, side, side, 3), which may be memory-mapped; or features (N, c), not to be augmented.
        rows: Which images of ``pixels`` to train on, int64 of shape (n,).
        targets: float32, shape (n, classes), one row for each of ``rows``.
        batch_size: Images per step.
        seed: Seed of order and augmentation.
        augmentation: Ranges of change; None for none.
        class_weights: Weight of each class in the loss, shape (classes,); a third item of each batch. None for none.
        shares: Into how many shares the images are dealt; each is shuffled alone and gives as many to each batch.
        mine: The shares that are wanted here, in a row: others' images are never touched. None for all.
        on_device: Whether batches are augmented where Keras computes, and stay there; not with several shares.
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
        shares: int = 1,
        mine: Sequence[int] | None = None,
        on_device: bool = False,
    ) -> None:
        super().__init__()
        if batch_size % shares:
            raise InputError(f"training.batch_size: must be a multiple of training.shares ({shares}), got {batch_size}")
        if len(rows) < shares:
            raise InputError(f"training.shares: {len(rows)} images cannot be dealt into {shares} shares")
        self._shares, self._mine = shares, range(shares) if mine is None else mine
        self._augment = augment_on_device if on_device else augment
        self.pixels, self.rows, self.targets = pixels, rows, targets
        self.batch_size, self.seed, self.augmentation = batch_size, seed, augmentation
        self._class_weights = class_weights
        self._layers = LayerAugmenter(augmentation) if augmentation is not None and augmentation.by_layers else None

    @property
    def num_batches(self) -> None:
        """None: the stream has no end, so that nothing is reset between epochs."""
        return

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which every image comes at least once."""
        return -(-len(self._dealt(0)) // (self.batch_size // self._shares))  # the first share is never smaller

    def __getitem__(self, step: int) -> tuple[Any, ...]:
        """Return batch number ``step`` (0, 1, …): pixels (b, …) 0–255, targets (b, classes), weights (b,).

        Pixels are uint8 as they are stored, unless they were augmented on the device or by Keras's layers: float32.
        """
        parts = [self._images(step, share) for share in self._mine]
        pixels, targets = (np.concatenate(both) for both in zip(*parts, strict=True)) if len(parts) > 1 else parts[0]
        return (pixels, targets) if self._class_weights is None else (pixels, targets, targets @ self._class_weights)

    def _images(self, step: int, share: int) -> tuple[Any, np.ndarray]:
        chosen = self._chosen(step, share)
        pixels = self.pixels[self.rows[chosen]]
        if self.augmentation is None:
            return pixels, self.targets[chosen]
        changes = draw(len(pixels), pixels.shape[1:3], self.augmentation, self._rng(step, share))
        changed = self._augment(pixels, changes)
        if self._layers is None:
            return changed, self.targets[chosen]
        return self._layers(changed, self.targets[chosen], (self.seed, step, *self._named(share)))

    def _rng(self, step: int, share: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *divmod(step, self.steps_per_epoch), *self._named(share)])

    def _named(self, share: int) -> tuple[int, ...]:
        """What tells the share's randomness from the others'; the only one needs nothing."""
        return (share,) if self._shares > 1 else ()

    def _dealt(self, share: int) -> np.ndarray:
        return np.arange(share, len(self.rows), self._shares)

    def _chosen(self, step: int, share: int) -> np.ndarray:
        """Places of the step's images in the share's endless row of shuffles."""
        dealt, size = self._dealt(share), self.batch_size // self._shares
        shuffles, places = np.divmod(np.arange(size) + step * size, len(dealt))
        orders = {
            number: np.random.default_rng([self.seed, number, *self._named(share)]).permutation(dealt)
            for number in np.unique(shuffles).tolist()
        }
        return np.array([orders[number][place] for number, place in zip(shuffles.tolist(), places, strict=True)])


def balanced_weights(targets: np.ndarray) -> np.ndarray:
    """Weights under which each class counts alike and an image 1 on average: float32, shape (classes,).

    Args:
        targets: One-hot, shape (n, classes).
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

    The last batch is padded to full size: another shape would cost seconds of graph building. ``check_stop`` is called
    after each batch; exceptions propagate.
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
