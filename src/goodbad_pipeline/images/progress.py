"""How far a scan is: a bar in a terminal, a line of the log now and then elsewhere."""

import logging
import sys
import time
from types import TracebackType

from tqdm import tqdm

logger = logging.getLogger(__name__)

LOG_SECONDS = 30.0


class Progress:
    """Counts files and says rate and time left; a context manager.

    Args:
        total: Files to read.
        known: Files that need no reading, because nothing about them changed.
    """

    def __init__(self, total: int, known: int) -> None:
        self._total, self._done = total, 0
        self._start = self._said = time.monotonic()
        if known:
            logger.info("%d files are as they were, %d to read", known, total)
        self._bar = tqdm(total=total, desc="Scanning", unit="file", mininterval=0.5, disable=not sys.stderr.isatty())

    def __enter__(self) -> "Progress":
        return self

    def advance(self, count: int) -> None:
        """Say that ``count`` more files are done."""
        self._done += count
        self._bar.update(count)
        now = time.monotonic()
        if self._bar.disable and now - self._said >= LOG_SECONDS:
            self._said = now
            rate = self._done / (now - self._start)
            left = (self._total - self._done) / rate / 60
            logger.info("%d of %d files read, %.0f a second, %.1f minutes left", self._done, self._total, rate, left)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
