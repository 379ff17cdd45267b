"""The reasons for which a training ends early: a stop request or divergence."""

import math
import threading

from goodbad_pipeline.errors import InputError


class Stopped(Exception):
    """Raised if a run is stopped for a reason such as ``SIGTERM``. Stored checkpoints are kept."""

    def __init__(self, reason: str, where: str) -> None:
        super().__init__(f"stopped by {reason} {where}")
        self.reason = reason


class TrainingDiverged(InputError):
    """Raised if the loss is too large, or if the loss or the weights are not finite."""

    @classmethod
    def at(cls, where: str, what: str, kept: str) -> "TrainingDiverged":
        """Return the error. ``where`` names the step. ``kept`` says where the last weights are stored."""
        return cls(
            f"training: {what} at {where}; lower the learning rate of this phase or raise training.warmup; {kept}"
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
        """Remove the request before another run starts."""
        self.reason = ""
        self._event.clear()

    def is_set(self) -> bool:
        """Return whether a stop is requested."""
        return self._event.is_set()

    def check(self, where: str) -> None:
        """Raise :class:`Stopped` if a stop is requested. ``where`` becomes part of the message."""
        if self.is_set():
            raise Stopped(self.reason, where)


def check_loss(loss: float, *, where: str, limit: float, kept: str) -> None:
    """Raise :class:`TrainingDiverged` if a loss, in nats, is not finite or is above ``limit``.

    ``where`` (the step) and ``kept`` (where the last weights are stored) become part of the message.
    """
    if not math.isfinite(loss):
        raise TrainingDiverged.at(where, f"the loss became {loss}", kept)
    if loss > limit:
        raise TrainingDiverged.at(where, f"the loss exploded to {loss:.4g} (above {limit:.4g})", kept)
