"""Save checkpoints during a training, and resume an interrupted training from its newest checkpoint."""

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.training.checkpoints import Checkpoint, CheckpointStore
from goodbad_pipeline.training.config_hash import Config, config_differences, config_hash
from goodbad_pipeline.training.distributed import SINGLE_PROCESS, Strategy
from goodbad_pipeline.training.progress import Progress
from goodbad_pipeline.training.stopping import TrainingDiverged

logger = logging.getLogger(__name__)

_MODEL, _OPTIMIZER, _KEPT, _HEAD = "model", "optimizer", "kept", "head"


@dataclass(frozen=True)
class Checkpointing:
    """Where and how often checkpoints are saved, and whether a training resumes from them."""

    store: CheckpointStore
    config: Config  # everything that determines the result and is known before the network is built
    minutes: float = 5.0  # time between checkpoints within an epoch; each epoch also ends with a checkpoint
    keep: int = 2  # number of checkpoints that are kept
    resume: bool = True  # whether to resume from a checkpoint with the same config


class Saver:
    """Saves and resumes one training. If there are several processes, only the first process writes checkpoints.

    If ``plan`` is None, nothing is saved. The config includes a hash of the model's initial values, so that a training
    with other initial values is not resumed.
    """

    head: list[np.ndarray] | None = None
    """The classifier after the phase that trains only the classifier; stored with each later checkpoint."""
    _saved: Path | None

    def __init__(self, plan: Checkpointing | None, model: keras.Model, strategy: Strategy = SINGLE_PROCESS) -> None:
        self._plan, self._last, self._saved, self._strategy = plan, time.monotonic(), None, strategy
        if plan is not None:
            self._config = {**plan.config, "start": _digest(model)}
            self._folder = plan.store.folder(config_hash(self._config), plan.keep)

    @property
    def kept(self) -> str:
        """A message that states where the last weights are stored if training ends now."""
        return f"the last good weights are in {self._saved}" if self._saved else "no weights are stored yet"

    def resume(self) -> Checkpoint | None:
        """Return the checkpoint to resume from, or None to start from the beginning.

        If a training was interrupted but is not resumed, the reason is logged.

        Raises:
            InputError: The processes have different configs or would resume from different checkpoints.
        """
        if self._plan is None:
            return None
        checkpoint = self._folder.newest() if self._plan.resume else None
        if checkpoint is not None:
            self._saved, self.head = checkpoint.path, _of(_HEAD, checkpoint.arrays) or None
        self._check_agreement()
        if self._strategy.process_index:  # only the first process changes the folder
            return checkpoint
        if checkpoint is not None:
            self._folder.hand_over(checkpoint, self._plan.store.owner())
            return checkpoint
        self._log_new_start(self._plan)
        self._folder.clear()
        self._plan.store.forget()
        return None

    def due(self) -> bool:
        """Return whether it is time for a checkpoint within the epoch."""
        return self._plan is not None and time.monotonic() - self._last >= 60 * self._plan.minutes

    def save(self, progress: Progress, model: keras.Model, kept: Sequence[np.ndarray] | None, where: str) -> None:
        """Write a checkpoint.

        Raises:
            TrainingDiverged: A weight is not finite.
            InputError: The checkpoint cannot be written.
        """
        if self._plan is None or self._strategy.process_index:
            return
        arrays = capture(model, kept) | _numbered(_HEAD, self.head or [])
        if not all(np.isfinite(array).all() for array in arrays.values() if array.dtype.kind == "f"):
            raise TrainingDiverged.at(where, "the weights are not finite", self.kept)
        progress.saves += 1
        state = {"progress": asdict(progress), "config": self._config, "owner": self._plan.store.owner()}
        self._saved = self._folder.save(progress.saves, state, arrays)
        self._last = time.monotonic()

    def _check_agreement(self) -> None:
        """Raise InputError unless all processes have the same config and checkpoint.

        Processes that differ would wait for each other forever, or mix gradients of different networks.
        """
        start = self._saved.name if self._saved else ""
        if not self._strategy.all_equal(f"{config_hash(self._config)} {start}"):
            process = f"process {self._strategy.process_index + 1} of {self._strategy.process_count}"
            raise InputError(
                "training.distributed: all processes must have equal parameters, splits, code, versions, devices and "
                f"checkpoints; they differ ({process} would resume from checkpoint {start or 'none'})"
            )

    def _log_new_start(self, plan: Checkpointing) -> None:
        last = plan.store.last_state()
        if last is None:
            return
        if not plan.resume:
            logger.info("Starting from the beginning: training.checkpoint.resume is false")
            return
        changes = config_differences(last["config"], self._config)
        reason = "; ".join(changes) if changes else "all its checkpoints are damaged"
        logger.info("Not resuming the last training but starting from the beginning: %s", reason)


def capture(model: keras.Model, kept: Sequence[np.ndarray] | None) -> dict[str, np.ndarray]:
    """Return the state of a compiled model and the weights ``kept`` as arrays by name.

    The model has weights, moving batch statistics and the states of random layers. The optimizer has the number of
    steps, slots, averaged weights and, under mixed precision, the loss scale.
    """
    arrays = _numbered(_MODEL, model.variables) | _numbered(_OPTIMIZER, model.optimizer.variables)
    return arrays if kept is None else arrays | _numbered(_KEPT, kept)


def restore(model: keras.Model, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray] | None:
    """Set a model to a state that :func:`capture` returned. Return the ``kept`` weights of that state, or None."""
    for kind, variables in ((_MODEL, model.variables), (_OPTIMIZER, model.optimizer.variables)):
        for variable, array in zip(variables, _of(kind, arrays), strict=True):
            variable.assign(array)
    return _of(_KEPT, arrays) or None


def _digest(model: keras.Model) -> str:
    """Return the SHA-256 of a network's initial weights and dropout states as 64 hex digits."""
    digest = hashlib.sha256()
    for variable in model.variables:
        digest.update(np.ascontiguousarray(variable).tobytes())
    return digest.hexdigest()


def _numbered(kind: str, values: Sequence[Any]) -> dict[str, np.ndarray]:
    return {f"{kind}/{number:05d}": np.array(value) for number, value in enumerate(values)}


def _of(kind: str, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    return [arrays[name] for name in sorted(arrays) if name.startswith(f"{kind}/")]
