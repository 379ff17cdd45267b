"""Time two arms against each other: alternating pairs, so that a noisy machine is noisy to both."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

Arm = Callable[[], object]


@dataclass(frozen=True)
class Ratio:
    """How many times as fast as the reference ours is.

    Attributes:
        name: What was measured.
        median: Median over the pairs of (reference seconds / our seconds).
        low: Smallest of them.
        high: Largest of them.
        pairs: Their number.
    """

    name: str
    median: float
    low: float
    high: float
    pairs: int


def measure(name: str, ours: Arm, reference: Arm, pairs: int = 7) -> Ratio:
    """Time ``ours`` and ``reference`` in turn (A B, B A, …) after one round of each that does not count."""
    ours()
    reference()
    ratios = []
    for number in range(pairs):
        if number % 2:
            slow, fast = _seconds(reference), _seconds(ours)
        else:
            fast, slow = _seconds(ours), _seconds(reference)
        ratios.append(slow / fast)
    return Ratio(name, statistics.median(ratios), min(ratios), max(ratios), pairs)


def _seconds(arm: Arm) -> float:
    started = time.perf_counter()
    arm()
    return time.perf_counter() - started
