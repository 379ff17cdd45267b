"""Checkpoints on disk: each a folder that appears when it is whole, proves itself when read, and outlives the next.

A save writes arrays and state into a folder of another name, flushes both to the disk, and renames it. So a kill, a
full disk or a power cut at any moment leaves the checkpoints before it untouched.
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

logger = logging.getLogger(__name__)

Arrays = Mapping[str, np.ndarray]
_ARRAYS, _STATE = "arrays.npz", "state.json"
_ABANDONED = 3  # interrupted trainings that are kept beside the present one


@dataclass(frozen=True)
class Checkpoint:
    """What was saved.

    Attributes:
        path: Its folder.
        state: Plain values, as JSON takes them.
        arrays: Arrays by name.
    """

    path: Path
    state: dict[str, Any]
    arrays: dict[str, np.ndarray]


class DamagedError(Exception):
    """A checkpoint is not what was saved."""


class CheckpointFolder:
    """The checkpoints of one training, numbered.

    Args:
        path: The folder; need not exist.
        keep: How many of the newest are kept, at least 1.
    """

    def __init__(self, path: Path, keep: int) -> None:
        self.path, self._keep = path, keep

    def save(self, number: int, state: Mapping[str, Any], arrays: Arrays) -> Path:
        """Write a checkpoint and remove those that have become too old.

        Raises:
            InputError: The disk is full, or the folder cannot be written to.
        """
        target = self.path / f"{number:09d}"
        with atomic_write(target) as draft:
            draft.mkdir()
            _write(draft, state, arrays)
        for old in self._names()[self._keep :]:
            shutil.rmtree(old, ignore_errors=True)
        return target

    def newest(self) -> Checkpoint | None:
        """Read the newest checkpoint that is whole; warn of each that is not; None where there is none."""
        for path in self._names():
            try:
                return _read(path)
            except DamagedError as damage:
                logger.warning("Checkpoint %s is damaged (%s); the one before it is used", path, damage)
        return None

    def hand_over(self, found: Checkpoint, owner: str | None) -> None:
        """Note that the training belongs to another from here on, and is the one that was under way last.

        Raises:
            InputError: The disk is full, or the folder cannot be written to.
        """
        content = _read_state(found.path)
        content["state"]["owner"] = owner
        with atomic_write(found.path / _STATE) as draft:
            draft.write_text(_state_text(content), encoding="utf-8")
        os.utime(self.path)

    def clear(self) -> None:
        """Remove all of them: what they were for is done."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _names(self) -> list[Path]:
        """Folders of checkpoints, newest first."""
        return sorted((path for path in self.path.glob("[0-9]*") if path.is_dir()), reverse=True)


class CheckpointStore:
    """The checkpoints of all trainings that were interrupted, each in a folder named after its fingerprint.

    Args:
        path: The folder; need not exist.
        owner: Gives the name of what the training belongs to, such as a tracked run, to note beside each checkpoint.
    """

    def __init__(self, path: Path, owner: Callable[[], str | None] = lambda: None) -> None:
        self.path, self.owner = path, owner

    def folder(self, fingerprint: str, keep: int) -> CheckpointFolder:
        """Return the folder of one training."""
        return CheckpointFolder(self.path / fingerprint[:16], keep)

    def last_state(self) -> dict[str, Any] | None:
        """State of the newest checkpoint of the training that was interrupted last; None where there is none."""
        return next(self.states(), None)

    def states(self) -> Iterator[dict[str, Any]]:
        """State of the newest checkpoint of each training that was interrupted, the last one first."""
        for training in self._trainings():
            for path in CheckpointFolder(training, 1)._names():
                with suppress(DamagedError):
                    yield _read_state(path)["state"]
                    break

    def forget(self, fingerprint: str | None = None) -> None:
        """Remove a training that is complete, or, without a fingerprint, all but the last few that never were."""
        doomed = [self.path / fingerprint[:16]] if fingerprint else self._trainings()[_ABANDONED:]
        for folder in doomed:
            CheckpointFolder(folder, 1).clear()

    def _trainings(self) -> list[Path]:
        """Folders of trainings, the last one first."""
        folders = [path for path in self.path.glob("[0-9a-f]*") if path.is_dir()]
        return sorted(folders, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _write(folder: Path, state: Mapping[str, Any], arrays: Arrays) -> None:
    with (folder / _ARRAYS).open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type] # numpy's stub takes a keyword of its own for one of ours
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
    except Exception as error:  # zipfile, zlib and numpy raise what they like about bytes that are not theirs
        raise DamagedError(f"{_ARRAYS}: {error}") from error
    if {name: _digest(array) for name, array in arrays.items()} != content["arrays"]:
        raise DamagedError(f"{_ARRAYS} is not what was saved")
    return Checkpoint(path, content["state"], arrays)


def _read_state(path: Path) -> dict[str, Any]:
    try:
        whole = json.loads((path / _STATE).read_text(encoding="utf-8"))
        content, digest = whole["content"], whole["digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{_STATE}: {error}") from error
    if _text_digest(content) != digest:
        raise DamagedError(f"{_STATE} is not what was saved")
    return content


def _digest(array: np.ndarray) -> str:
    described = f"{array.dtype.str} {array.shape} ".encode()
    return hashlib.sha256(described + np.ascontiguousarray(array).tobytes()).hexdigest()


def _text_digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
