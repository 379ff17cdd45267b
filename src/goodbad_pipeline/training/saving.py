"""When a run is saved, under what, and what it goes on from."""

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.training.checkpoints import Checkpoint, CheckpointStore
from goodbad_pipeline.training.config_hash import Facts, differences, fingerprint
from goodbad_pipeline.training.distributed import SINGLE_PROCESS, Strategy
from goodbad_pipeline.training.progress import Progress
from goodbad_pipeline.training.validation import check_arrays

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpointing:
    """How a run is saved.

    Attributes:
        store: Where.
        facts: All that decides the result and is known before the network is built.
        minutes: Between checkpoints within an epoch; the end of an epoch brings one anyway.
        keep: How many of the newest are kept.
        resume: Whether to go on from a checkpoint of the same facts.
    """

    store: CheckpointStore
    facts: Facts
    minutes: float = 5.0
    keep: int = 2
    resume: bool = True


class Saver:
    """Saves one training, or does nothing where there is no plan; of several processes the first one writes.

    Args:
        plan: How; None for not at all.
        model: The network as it starts: its values are one more fact.
        strategy: How processes share the training.
    """

    def __init__(self, plan: Checkpointing | None, model: keras.Model, strategy: Strategy = SINGLE_PROCESS) -> None:
        self._strategy = strategy
        self._plan, self._last, self._saved = plan, time.monotonic(), None
        if plan is not None:
            self._facts = {**plan.facts, "start": _digest(model)}
            self._folder = plan.store.folder(fingerprint(self._facts), plan.keep)

    _saved: Path | None

    @property
    def kept(self) -> str:
        """What is left if the run ends now, to tell."""
        return f"the last good weights are in {self._saved}" if self._saved else "no weights were kept yet"

    def resume(self) -> Checkpoint | None:
        """Find the checkpoint to go on from; None means to start anew, and a line says why if one might wonder.

        Raises:
            InputError: Other processes of the team train something else, or go on from elsewhere.
        """
        if self._plan is None:
            return None
        found = self._folder.newest() if self._plan.resume else None
        self._saved = None if found is None else found.path
        self._check_agreement()
        if self._strategy.process_index:  # the first one looks after the folder
            return found
        if found is not None:
            self._folder.hand_over(found, self._plan.store.owner())
            return found
        self._say_why(self._plan)
        self._folder.clear()
        self._plan.store.forget()
        return None

    def _check_agreement(self) -> None:
        """Check that all processes train the same: otherwise they would block, or mix gradients of two networks."""
        start = self._saved.name if self._saved else ""
        if not self._strategy.all_equal(f"{fingerprint(self._facts)} {start}"):
            process = f"process {self._strategy.process_index + 1} of {self._strategy.process_count}"
            raise InputError(
                "training.distributed: all processes must have equal parameters, splits, code, versions, devices and "
                f"checkpoints; they differ ({process} would resume from checkpoint {start or 'none'})"
            )

    def due(self) -> bool:
        """Whether the last save is too long ago."""
        return self._plan is not None and time.monotonic() - self._last >= 60 * self._plan.minutes

    def save(self, progress: Progress, model: keras.Model, kept: Sequence[np.ndarray] | None, where: str) -> None:
        """Write a checkpoint.

        Raises:
            InputError: Some weight is no number, or it cannot be written.
        """
        if self._plan is None or self._strategy.process_index:
            return
        arrays = capture(model, kept)
        check_arrays(arrays, where=where, kept=self.kept)
        progress.saves += 1
        state = {"progress": progress.to_state(), "facts": self._facts, "owner": self._plan.store.owner()}
        self._saved = self._folder.save(progress.saves, state, arrays)
        self._last = time.monotonic()

    def _say_why(self, plan: Checkpointing) -> None:
        last = plan.store.last_state()
        if last is None:
            return
        if not plan.resume:
            logger.info("Starting anew: training.checkpoint.resume is false")
            return
        changed = differences(last["facts"], self._facts)
        reason = "; ".join(changed) if changed else "no checkpoint of it is whole"
        logger.info("Starting anew, not where the last training was interrupted: %s", reason)


def _digest(model: keras.Model) -> str:
    """SHA-256 over the values a network starts with, and the states of dropout: 64 hex digits."""
    digest = hashlib.sha256()
    for variable in model.variables:
        digest.update(np.ascontiguousarray(variable).tobytes())
    return digest.hexdigest()


_MODEL, _OPTIMIZER, _KEPT = "model", "optimizer", "kept"


def capture(model: keras.Model, kept: Sequence[np.ndarray] | None) -> dict[str, np.ndarray]:
    """Copy the state of a compiled model, by name.

    ``variables`` hold weights, moving batch statistics and the states of every seeded layer; the optimizer's hold the
    number of steps, slots, moving averages of weights and, under mixed precision, the loss scale.
    """
    arrays = _numbered(_MODEL, model.variables) | _numbered(_OPTIMIZER, model.optimizer.variables)
    return arrays if kept is None else arrays | _numbered(_KEPT, kept)


def restore(model: keras.Model, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray] | None:
    """Put what :func:`capture` copied back; returns the kept weights, None where there were none yet."""
    for kind, variables in ((_MODEL, model.variables), (_OPTIMIZER, model.optimizer.variables)):
        for variable, array in zip(variables, _of(kind, arrays), strict=True):
            variable.assign(array)
    return _of(_KEPT, arrays) or None


def _numbered(kind: str, values: Sequence[Any]) -> dict[str, np.ndarray]:
    return {f"{kind}/{number:05d}": np.array(value) for number, value in enumerate(values)}


def _of(kind: str, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    return [arrays[name] for name in sorted(arrays) if name.startswith(f"{kind}/")]
