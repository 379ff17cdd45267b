"""Who is told of each epoch."""

from collections.abc import Callable

EpochListener = Callable[[int, dict[str, float]], None]
"""Called after each epoch with its number over all phases (1, 2, …) and its metrics."""
