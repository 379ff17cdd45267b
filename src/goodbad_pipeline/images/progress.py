"""Report how many files have been processed."""

import logging
import sys
import time

from tqdm import tqdm

from goodbad_pipeline.errors import two_digits

logger = logging.getLogger(__name__)

LOG_SECONDS = 30.0


class Progress:
    """Reports how many files have been processed: by a progress bar in a terminal, by log lines without a terminal.

    ``total`` is the number of all files, or None if the number is not known.
    """

    def __init__(self, action: str, participle: str, total: int | None = None) -> None:
        self._participle, self._total, self._done = participle, total, 0
        self._bar = tqdm(total=total, desc=action, unit="file", mininterval=0.5, disable=not sys.stderr.isatty())
        self._start = self._logged = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def advance(self, count: int) -> None:
        """Report that ``count`` more files have been processed."""
        self._done += count
        self._bar.update(count)
        now = time.monotonic()
        if not self._bar.disable or now - self._logged < LOG_SECONDS:
            return
        self._logged = now
        rate = self._done / (now - self._start)
        if self._total is None:
            logger.info("%d files %s, %s per second", self._done, self._participle, two_digits(rate))
            return
        left = (self._total - self._done) / rate / 60
        logger.info(
            "%d of %d files %s, %s per second, %.1f minutes left",
            self._done,
            self._total,
            self._participle,
            two_digits(rate),
            left,
        )
