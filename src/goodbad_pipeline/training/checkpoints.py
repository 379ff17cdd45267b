"""Checkpoints on disk: folders that are written atomically and verified when they are read.

Earlier checkpoints stay intact if a process is killed, the disk is full or the power fails during a write.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from goodbad_pipeline.atomic_files import atomic_write
from goodbad_pipeline.errors import writing

logger = logging.getLogger(__name__)

Arrays = Mapping[str, np.ndarray]
_ARRAYS, _STATE = "arrays.npz", "state.json"
_KEPT_TRAININGS = 3  # interrupted trainings


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of one training."""

    path: Path  # a folder
    state: dict[str, Any]  # JSON values
    arrays: dict[str, np.ndarray]


class DamagedError(Exception):
    """Raised if a checkpoint is incomplete or was changed."""


class CheckpointFolder:
    """The numbered checkpoints of one training. Only the ``keep`` newest checkpoints are kept."""

    def __init__(self, path: Path, keep: int) -> None:
        self.path, self._keep = path, keep

    def save(self, number: int, state: Mapping[str, Any], arrays: Arrays) -> Path:
        """Write a checkpoint, remove the oldest checkpoints, and return the folder of the new checkpoint.

        Raises:
            InputError: The disk is full, or the folder cannot be written to.
        """
        for draft in self.path.glob(".new-*"):  # of processes that were killed, here or on another host
            shutil.rmtree(draft, ignore_errors=True)
        target = self.path / f"{number:09d}"
        with atomic_write(target) as draft:
            draft.mkdir()
            _write(draft, state, arrays)
        for old in self._folders()[self._keep :]:
            shutil.rmtree(old, ignore_errors=True)
        return target

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint that is not damaged, or None."""
        for path in self._folders():
            try:
                return _read(path)
            except DamagedError as damage:
                logger.warning("Checkpoint %s is damaged (%s); trying the previous checkpoint", path, damage)
        return None

    def newest_state(self) -> dict[str, Any] | None:
        """Return the state of the newest checkpoint whose state is not damaged, or None."""
        for path in self._folders():
            with suppress(DamagedError):
                return _read_state(path)["state"]
        return None

    def hand_over(self, checkpoint: Checkpoint, owner: str | None) -> None:
        """Record that ``owner`` resumes the training, and mark the training as the most recent one.

        Raises:
            InputError: The disk is full, or the folder cannot be written to.
        """
        content = _read_state(checkpoint.path)
        content["state"]["owner"] = owner
        with atomic_write(checkpoint.path / _STATE) as draft:
            draft.write_text(_state_text(content), encoding="utf-8")
        with writing(self.path):
            os.utime(self.path)

    def clear(self) -> None:
        """Remove all checkpoints."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _folders(self) -> list[Path]:
        """Return the folders of the checkpoints, newest first."""
        return sorted((path for path in self.path.glob("[0-9]*") if path.is_dir()), reverse=True)


class CheckpointStore:
    """The checkpoints of all interrupted trainings, each in a folder named after its config hash.

    ``owner`` returns an id that is stored with each checkpoint, such as the id of the current MLflow run.
    """

    def __init__(self, path: Path, owner: Callable[[], str | None] = lambda: None) -> None:
        self.path, self.owner = path, owner

    def folder(self, config_hash: str, keep: int) -> CheckpointFolder:
        """Return the checkpoint folder of one training."""
        return CheckpointFolder(self.path / config_hash[:16], keep)

    def last_state(self) -> dict[str, Any] | None:
        """Return the state of the most recently interrupted training, or None."""
        return next(self.states(), None)

    def states(self) -> Iterator[dict[str, Any]]:
        """Yield the newest state of each interrupted training, most recent training first."""
        for training in self._trainings():
            state = CheckpointFolder(training, 1).newest_state()
            if state is not None:
                yield state

    def forget(self, config_hash: str | None = None) -> None:
        """Remove the checkpoints of the training with this hash.

        Without a hash, keep only the checkpoints of the `_KEPT_TRAININGS` most recent trainings.
        """
        folders = [self.path / config_hash[:16]] if config_hash else self._trainings()[_KEPT_TRAININGS:]
        for folder in folders:
            CheckpointFolder(folder, 1).clear()

    def _trainings(self) -> list[Path]:
        """Return the folders of all trainings, most recent first."""
        folders = [path for path in self.path.glob("[0-9a-f]*") if path.is_dir()]
        return sorted(folders, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _write(folder: Path, state: Mapping[str, Any], arrays: Arrays) -> None:
    with (folder / _ARRAYS).open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type] # the stub takes an array for the keyword allow_pickle
    content = {"state": state, "arrays": {name: _digest(array) for name, array in arrays.items()}}
    (folder / _STATE).write_text(_state_text(content), encoding="utf-8")


def _state_text(content: Mapping[str, Any]) -> str:
    return json.dumps({"digest": _text_digest(content), "content": content})


def _read(path: Path) -> Checkpoint:
    content = _read_state(path)
    arrays: dict[str, np.ndarray] = {}
    try:
        with np.load(path / _ARRAYS, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # zipfile, zlib and numpy raise errors of many types for a damaged file
        raise DamagedError(f"{_ARRAYS}: {error}") from error
    if {name: _digest(array) for name, array in arrays.items()} != content["arrays"]:
        raise DamagedError(f"{_ARRAYS} does not match its digests")
    return Checkpoint(path, content["state"], arrays)


def _read_state(path: Path) -> dict[str, Any]:
    try:
        whole = json.loads((path / _STATE).read_text(encoding="utf-8"))
        content, digest = whole["content"], whole["digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{_STATE}: {error}") from error
    if _text_digest(content) != digest:
        raise DamagedError(f"{_STATE} does not match its digest")
    if "facts" in content["state"]:  # the key in checkpoints of older versions
        content["state"]["config"] = content["state"].pop("facts")
    return content


def _digest(array: np.ndarray) -> str:
    description = f"{array.dtype.str} {array.shape} ".encode()
    return hashlib.sha256(description + np.ascontiguousarray(array).tobytes()).hexdigest()


def _text_digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
