"""Files and folders that appear under their name only when they are whole."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from goodbad_pipeline.errors import writing


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a temporary name beside ``target`` to write to; on success it takes ``target``'s place in one step.

    Whatever stood there before stays whole until then, and stays for good if writing fails. A folder that is replaced
    is moved aside first, for a rename never overwrites one.

    Raises:
        InputError: The disk is full, or the folder cannot be written to.
    """
    draft = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _remove(draft)
            yield draft
            _flush(draft)
            _take_place(draft, target)
    finally:
        _remove(draft)


def _take_place(draft: Path, target: Path) -> None:
    if not (draft.is_dir() and target.exists()):
        draft.replace(target)
        return
    old = target.with_name(f".{os.getpid()}.old.{target.name}")
    target.rename(old)
    draft.rename(target)
    _remove(old)


class AtomicSave:
    """Put before one of Kedro's file datasets among a class's bases: its file or folder appears when it is whole.

    Kedro's own write straight into the file, so that a save that is killed, or finds the disk full, leaves a fragment
    where there was something good.
    """

    def save(self, data: Any) -> None:
        """Write under a temporary name and rename."""
        dataset: Any = self
        own = dataset._filepath
        write = super().save.__wrapped__  # type: ignore[misc] # without Kedro's wrapper, which would hide what failed
        with replacing(Path(dataset._get_save_path())) as draft:
            dataset._filepath = PurePosixPath(draft)
            try:
                write(self, data)
            finally:
                dataset._filepath = own


def _flush(path: Path) -> None:
    """Make what was written reach the disk: some file systems tell only now that it is full."""
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
