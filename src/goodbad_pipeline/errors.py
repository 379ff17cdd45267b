"""The exception for errors that the user can fix, and texts that several error messages share."""

import errno
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # full disk, exceeded quota, file too large


class InputError(ValueError):
    """Raised for a file, parameter or request that breaks a rule.

    The message is one line that states the file or parameter, the rule, the value received and what to do. The command
    line prints that line without a traceback, because the code is not at fault, and exits with status 1.
    """


def find_cause(error: BaseException | None, kinds: tuple[type[BaseException], ...]) -> BaseException | None:
    """Return the first error of ``kinds`` in the chain of ``error`` and its causes, or None."""
    while error is not None and not isinstance(error, kinds):
        error = error.__cause__
    return error


def counted(number: float, noun: str) -> str:
    """Return a number with its noun, such as ``1 file`` or ``2 files``."""
    return f"{number:.0f} {noun}{'' if number == 1 else 's'}"


def two_digits(rate: float) -> str:
    """Return a rate as text: with two significant digits, such as ``0.31``, or as a whole number from 10 up."""
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"


def install_command(extra: str) -> str:
    """Return the command that installs an extra of this package. A clone is installed from the current folder."""
    project = Path(__file__).resolve().parents[2]
    if all((project / name).is_file() for name in ("pyproject.toml", "constraints.txt")):
        return f'pip install --constraint constraints.txt --editable ".[{extra}]"'
    return f"pip install --constraint constraints.txt 'goodbad_pipeline[{extra}]'"


def option(parameter: str, value: object) -> str:
    """Return the option of ``kedro run`` that sets a parameter, quoted for a shell."""
    return shlex.quote(f"--params={parameter}={value}")


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Convert an error of the operating system, such as a full disk, to an `InputError` that names the file ``target``.

    The caller must write to a temporary file or append, so that an error leaves earlier content unchanged.
    """
    try:
        yield
    except OSError as error:
        advice = "free disk space" if error.errno in FULL else "make it writable"
        raise InputError(
            f"{target}: cannot be written ({error.strerror or error}), earlier content is unchanged; "
            f"{advice} and run again"
        ) from error
