"""Measure predictions and speed of several networks on the same images."""

import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np

BATCH = 64
Predict = Callable[[np.ndarray], np.ndarray]
"""Maps pixels, uint8 (64, side, side, 3), to probabilities (64, classes)."""


def predict_with_each(networks: Mapping[str, Predict], pixels: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Predict the same images with each network, with only one batch in memory at a time.

    ``rows`` (int64, shape (n,), n ≥ 1) selects images of ``pixels`` (uint8, shape (N, side, side, 3)). The result maps
    the name of each network to probabilities (float32, shape (n, classes)).
    """
    probabilities: dict[str, list[np.ndarray]] = {name: [] for name in networks}
    for batch, count in _batches(pixels, rows):
        for name, predict in networks.items():
            probabilities[name].append(np.asarray(predict(batch), np.float32)[:count])
    return {name: np.concatenate(parts) for name, parts in probabilities.items()}


def measure_rates(
    networks: Mapping[str, Predict], pixels: np.ndarray, *, rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Measure how many images per second each network predicts: the median over the rounds, in batches of 64.

    Every second round runs the networks in reverse order, so that a gradual change of speed affects all networks alike.
    The caller must have run each network on a batch before, so that no graph is traced during the measurement.
    ``pixels`` is uint8 with shape (n, side, side, 3), and ``clock`` returns seconds.
    """
    batches = [batch for batch, _ in _batches(pixels, np.arange(len(pixels)))]
    names = list(networks)
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for number in range(rounds):
        for name in reversed(names) if number % 2 else names:
            start = clock()
            for batch in batches:
                networks[name](batch)
            seconds[name].append(clock() - start)
    return {name: BATCH * len(batches) / float(np.median(taken)) for name, taken in seconds.items()}


def _batches(pixels: np.ndarray, rows: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """Yield each batch, padded to 64 images because TensorFlow traces each new shape, and its number of images."""
    for start in range(0, len(rows), BATCH):
        chosen = rows[start : start + BATCH]
        yield pixels[np.pad(chosen, (0, BATCH - len(chosen)), mode="edge")], len(chosen)
