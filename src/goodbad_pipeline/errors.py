"""The one exception for what a user can put right."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # a disk, somebody's share of it, a file


class InputError(ValueError):
    """A file, parameter or request that breaks a rule.

    The message is one line: it names what is wrong, the rule and the value received, and says what to do. The command
    line prints that line alone and exits with status 1; no traceback, because nothing is wrong with the code.
    """


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Name the file where writing it fails: what the system says about a full disk names none.

    The caller writes aside and renames, or only ever adds, so that what was there before is whole.

    Raises:
        InputError: The disk is full, or the file cannot be written to.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{target}: cannot be written ({error.strerror or error}); what was there before is untouched"
        ) from error
