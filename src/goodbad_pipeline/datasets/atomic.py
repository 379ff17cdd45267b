"""Files and folders that appear under their name only when they are whole."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from goodbad_pipeline.errors import InputError


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a temporary name beside ``target`` to write to; on success it takes ``target``'s place in one step.

    Whatever stood there before stays whole until then, and stays for good if writing fails. A folder that is replaced
    is moved aside first, for a rename never overwrites one.

    Raises:
        InputError: The disk is full, or the folder cannot be written to.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{os.getpid()}.{target.name}")
    _remove(draft)
    try:
        yield draft
        if draft.is_dir() and target.exists():
            old = target.with_name(f".{os.getpid()}.old.{target.name}")
            target.rename(old)
            draft.rename(target)
            _remove(old)
        else:
            draft.replace(target)
    except OSError as error:
        raise InputError(
            f"{target}: cannot be written ({error.strerror or error}); what was there before is untouched"
        ) from error
    finally:
        _remove(draft)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
