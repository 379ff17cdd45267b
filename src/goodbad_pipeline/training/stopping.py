"""Whether somebody has asked this process to stop: training looks after every step, and ends in good order."""

import threading


class Stopped(Exception):
    """The run ended because somebody asked for it; what it had done is kept.

    Args:
        reason: Who asked: ``SIGTERM``.
        where: What had been done, and what was kept.
    """

    def __init__(self, reason: str, where: str) -> None:
        super().__init__(f"stopped by {reason} {where}")
        self.reason = reason


class StopRequest:
    """A wish to stop that one thread may utter and another may hear."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.reason = ""

    def ask(self, reason: str) -> None:
        """Ask for an end, saying why: ``SIGTERM``."""
        self.reason = reason
        self._event.set()

    def clear(self) -> None:
        """Take it back, before another run."""
        self.reason = ""
        self._event.clear()

    def __bool__(self) -> bool:
        """Whether somebody has asked."""
        return self._event.is_set()


STOP = StopRequest()
"""The one of this process: signals have no other address."""
