"""Why a training ends early: a stop request, checked after every step, or a loss that diverged."""

import math
import threading

from goodbad_pipeline.errors import InputError


class Stopped(Exception):
    """The run was stopped for a reason such as ``SIGTERM``; what it has stored is kept."""

    def __init__(self, reason: str, where: str) -> None:
        super().__init__(f"stopped by {reason} {where}")
        self.reason = reason


class TrainingDiverged(InputError):
    """The loss exploded, or numbers are not finite; other parameters may train well."""

    @classmethod
    def at(cls, where: str, what: str, kept: str) -> "TrainingDiverged":
        """Return the error for a step; ``kept`` states which weights remain."""
        return cls(
            f"training: {what} at {where}; lower the learning rate of that phase or raise training.warmup; {kept}"
        )


class StopRequest:
    """A stop request shared between threads."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.reason = ""

    def set(self, reason: str) -> None:
        """Request a stop for a reason such as ``SIGTERM``."""
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
        """Raise :class:`Stopped` if a stop is requested; ``where`` is for the message."""
        if self.is_set():
            raise Stopped(self.reason, where)


def check_loss(loss: float, *, where: str, limit: float, kept: str) -> None:
    """Raise :class:`TrainingDiverged` if a mean loss, in nats, is not finite or above ``limit``.

    ``where`` names the step and ``kept`` the weights that remain, for the message.
    """
    if not math.isfinite(loss):
        raise TrainingDiverged.at(where, f"the loss became {loss}", kept)
    if loss > limit:
        raise TrainingDiverged.at(where, f"the loss exploded to {loss:.4g} (above {limit:.4g})", kept)
