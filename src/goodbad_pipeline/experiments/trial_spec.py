"""The identity of a trial and the type of the cache that stores its result. Imports no Keras."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from goodbad_pipeline.training.config_hash import config_hash
from goodbad_pipeline.training.progress import EpochCallback

COMPLETE = "complete"
"""Item of a result: 1 if the trial was trained to its end, 0 if it was pruned or diverged."""

TrialResult = dict[str, float]
"""Metrics of a trial."""


@dataclass(frozen=True)
class TrialSpec:
    """One training of one network from one seed.

    Attributes:
        name: Name of the network, for logs.
        seed: Seed of weights, dropout, order and augmentation.
        shown: Further parameters that are logged; they do not influence the result.
        config: Everything that the result depends on, the seed included; plain values, as JSON has them.
    """

    name: str
    seed: int
    shown: Mapping[str, Any]
    config: Mapping[str, Any]

    @cached_property
    def cache_key(self) -> str:
        """SHA-256 of the config, 64 hex digits: equal for trials with equal results."""
        return config_hash(dict(self.config))


TrialCache = Callable[[TrialSpec, Callable[[EpochCallback], TrialResult]], TrialResult]
"""Returns the stored result of a trial, or else trains the trial and stores its result."""
