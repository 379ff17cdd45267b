"""What a trial is known by, and who keeps what it gave. Knows no Keras: a dataset's module imports it."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from goodbad_pipeline.training.progress import EpochCallback


@dataclass(frozen=True)
class TrialSpec:
    """One training of one network from one seed.

    Attributes:
        name: Of the network, to show.
        seed: Of weights, dropout, order and augmentation.
        shown: What else is shown beside its results; it decides nothing.
        decides: Everything that the results depend on, as JSON takes it, the seed included.
    """

    name: str
    seed: int
    shown: Mapping[str, Any]
    decides: Mapping[str, Any]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of `decides`, 64 hex digits: equal for trials that would give the same."""
        return hashlib.sha256(json.dumps(self.decides, sort_keys=True).encode()).hexdigest()


TRIAL_MOMENTUM = 0.9  # of batch statistics, where training.batch_norm_momentum says nothing: remembers ten steps

TrialResult = dict[str, float]
"""Measures of a finished trial: val_accuracy, val_loss, accuracy, loss, seconds."""

TrialCache = Callable[[TrialSpec, Callable[[EpochCallback], TrialResult]], TrialResult]
"""Gives back what a trial gave before, or else has it trained, with a listener for its epochs, and keeps the result."""
