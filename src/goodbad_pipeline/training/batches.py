"""Batches from an array of pixels: which pictures, in which order and how changed depends on (seed, step) alone."""

import keras
import numpy as np

from goodbad_pipeline.training.augmentation import Augmentation, augment
from goodbad_pipeline.training.layer_augmentation import LayerAugmenter


class TrainingBatches(keras.utils.PyDataset):
    """Endless shuffled, augmented batches; step i gives the same batch whoever asks, and whenever.

    One shuffle of all pictures follows another, and batches are cut from that: each is full, so that steps are compiled
    for one shape and weigh every picture alike.

    Args:
        pixels: uint8, shape (N, side, side, 3), which may be memory-mapped; or features (N, c), not to be augmented.
        rows: Which pictures of ``pixels`` to train on, int64 of shape (n,).
        targets: float32, shape (n, classes), one row for each of ``rows``.
        batch_size: Pictures per step.
        seed: Seed of order and augmentation.
        augmentation: Ranges of change; None for none.
        class_weights: Weight of each class in the loss, shape (classes,); a third item of each batch. None for none.
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
    ) -> None:
        super().__init__()
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
        """Batches in which every picture comes at least once."""
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, step: int) -> tuple[np.ndarray, ...]:
        """Return batch number ``step`` (0, 1, …): float32 pixels (b, …) 0–255, targets (b, classes), weights (b,)."""
        pixels, targets = self._pictures(step)
        return (pixels, targets) if self._class_weights is None else (pixels, targets, targets @ self._class_weights)

    def _pictures(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self._chosen(step)
        pixels = self.pixels[self.rows[chosen]]
        if self.augmentation is None:
            return pixels.astype(np.float32), self.targets[chosen]
        changed = augment(pixels, self.augmentation, self._rng(step))
        if self._layers is None:
            return changed, self.targets[chosen]
        return self._layers(changed, self.targets[chosen], (self.seed, step))

    def _rng(self, step: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *divmod(step, self.steps_per_epoch)])

    def _chosen(self, step: int) -> np.ndarray:
        """Places of the step's pictures in the endless row of shuffles."""
        shuffles, places = np.divmod(np.arange(self.batch_size) + step * self.batch_size, len(self.rows))
        orders = {
            number: np.random.default_rng([self.seed, number]).permutation(len(self.rows))
            for number in np.unique(shuffles).tolist()
        }
        return np.array([orders[number][place] for number, place in zip(shuffles.tolist(), places, strict=True)])


def balanced_weights(targets: np.ndarray) -> np.ndarray:
    """Weights under which each class counts alike and a picture 1 on average: float32, shape (classes,).

    Args:
        targets: One-hot, shape (n, classes).
    """
    counts = targets.sum(axis=0)
    return (len(targets) / (np.count_nonzero(counts) * np.maximum(counts, 1))).astype(np.float32)


def predict(model: keras.Model, pixels: np.ndarray, rows: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """Return the model's outputs for ``pixels[rows]``: float32, shape (len(rows), outputs).

    The last block is filled up to a whole batch: another shape would cost seconds of graph building.
    """
    outputs = []
    for start in range(0, len(rows), batch_size):
        chosen = rows[start : start + batch_size]
        filled = np.pad(chosen, (0, batch_size - len(chosen)), mode="edge")
        answer = keras.ops.convert_to_numpy(model.predict_on_batch(pixels[filled]))
        outputs.append(answer[: len(chosen)])
    return np.concatenate(outputs).astype(np.float32)
