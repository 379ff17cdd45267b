"""The same images through several networks: what each answers, and how fast."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

BATCH = 64
Ask = Callable[[np.ndarray], np.ndarray]
"""From pixels uint8 (64, side, side, 3) to probabilities (64, classes)."""


def ask_networks(networks: Mapping[str, Ask], pixels: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Ask each network about the same images, of which one batch at a time is in memory.

    Args:
        networks: By name.
        pixels: uint8, shape (N, side, side, 3), or what is indexed like it.
        rows: Which of them, int64 of shape (n,), n at least 1.

    Returns:
        Probabilities float32 (n, classes) by name.
    """
    answers: dict[str, list[np.ndarray]] = {name: [] for name in networks}
    for batch, count in _batches(pixels, rows):
        for name, ask in networks.items():
            answers[name].append(np.asarray(ask(batch), np.float32)[:count])
    return {name: np.concatenate(parts) for name, parts in answers.items()}


def measure_rates(
    networks: Mapping[str, Ask],
    pixels: np.ndarray,
    *,
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Images a second of each network, in batches of 64: the median of rounds in which they take turns.

    Args:
        networks: By name; each has answered before, so that nothing is built any more.
        pixels: uint8, shape (n, side, side, 3), n at least 1.
        rounds: How often each is timed; every other round goes backwards, so that a machine that slows down slows all.
        clock: Seconds.
    """
    batches = [batch for batch, _ in _batches(pixels, np.arange(len(pixels)))]
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for number in range(rounds):
        for name in _turns(list(networks), number):
            start = clock()
            for batch in batches:
                networks[name](batch)
            seconds[name].append(clock() - start)
    return {name: BATCH * len(batches) / float(np.median(taken)) for name, taken in seconds.items()}


def _turns(names: Sequence[str], number: int) -> Sequence[str]:
    return names[::-1] if number % 2 else names


def _batches(pixels: np.ndarray, rows: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """Whole batches and how many of each are no filling: another shape would cost Keras another graph."""
    for start in range(0, len(rows), BATCH):
        chosen = rows[start : start + BATCH]
        yield pixels[np.pad(chosen, (0, BATCH - len(chosen)), mode="edge")], len(chosen)
