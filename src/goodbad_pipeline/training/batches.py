"""Batches from an array of pixels: which pictures, in which order and how changed depends on (seed, step) alone."""

import keras
import numpy as np

from goodbad_pipeline.training.augmentation import Augmentation, augment


class TrainingBatches(keras.utils.PyDataset):
    """Endless shuffled, augmented batches; step i gives the same batch whoever asks, and whenever.

    Every picture comes once an epoch; the last batch of an epoch is as small as what is left.

    Args:
        pixels: uint8, shape (N, side, side, 3); may be memory-mapped.
        rows: Which pictures of ``pixels`` to train on, int64 of shape (n,).
        targets: float32, shape (n, classes), one row for each of ``rows``.
        batch_size: Pictures per step.
        seed: Seed of order and augmentation.
        augmentation: Ranges of change; None for none.
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
    ) -> None:
        super().__init__()
        self.pixels, self.rows, self.targets = pixels, rows, targets
        self.batch_size, self.seed, self.augmentation = batch_size, seed, augmentation

    @property
    def num_batches(self) -> None:
        """None: the stream has no end, so that nothing is reset between epochs."""
        return

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which every picture comes once."""
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return batch number ``step`` (0, 1, …): float32 pixels (b, side, side, 3) 0–255, and targets (b, classes)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.rows))
        chosen = order[place * self.batch_size : (place + 1) * self.batch_size]
        pixels = self.pixels[self.rows[chosen]]
        if self.augmentation is None:
            return pixels.astype(np.float32), self.targets[chosen]
        rng = np.random.default_rng([self.seed, epoch, place])
        return augment(pixels, self.augmentation, rng), self.targets[chosen]


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
