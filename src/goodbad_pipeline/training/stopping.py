"""Stop requests: training checks for one after every step, and ends with a checkpoint."""

import threading


class Stopped(Exception):
    """The run was stopped on request; what it has stored is kept.

    Args:
        reason: What requested it: ``SIGTERM``.
        where: What was done until then, and what is kept.
    """

    def __init__(self, reason: str, where: str) -> None:
        super().__init__(f"stopped by {reason} {where}")
        self.reason = reason


class StopRequest:
    """A stop request shared between threads."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.reason = ""

    def set(self, reason: str) -> None:
        """Request a stop for a reason: ``SIGTERM``."""
        self.reason = reason
        self._event.set()

    def clear(self) -> None:
        """Withdraw the request, before another run."""
        self.reason = ""
        self._event.clear()

    def is_set(self) -> bool:
        """Return whether a stop is requested."""
        return self._event.is_set()

    def check(self, where: str) -> None:
        """Raise :class:`Stopped` if a stop is requested.

        Args:
            where: What was done until then, for the message.
        """
        if self.is_set():
            raise Stopped(self.reason, where)
