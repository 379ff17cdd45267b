"""When training has gone wrong for good, and how that is said."""

import math
from collections.abc import Mapping

import numpy as np

from goodbad_pipeline.errors import InputError


class SpoiltTrainingError(InputError):
    """A training has gone wrong by its own parameters; another may go well."""


def check_loss(loss: float, *, where: str, limit: float, kept: str) -> None:
    """Check the loss of one step.

    Args:
        loss: Mean over the batch, in nats.
        where: The step, to name.
        limit: Largest loss that is not an explosion.
        kept: What is left to go back to, to name.

    Raises:
        SpoiltTrainingError: The loss is no number, infinite or above the limit.
    """
    if math.isfinite(loss) and loss <= limit:
        return
    what = f"exploded to {loss:.4g} (above {limit:.4g})" if math.isfinite(loss) else f"became {loss}"
    raise SpoiltTrainingError(
        f"training: the loss {what} at {where}; lower the learning rate of that phase or raise training.warmup; {kept}"
    )


def check_arrays(arrays: Mapping[str, np.ndarray], *, where: str, kept: str) -> None:
    """Check that all that is about to be kept is finite, so that no checkpoint holds spoilt weights.

    Raises:
        SpoiltTrainingError: Some number is not.
    """
    if all(np.isfinite(array).all() for array in arrays.values() if array.dtype.kind == "f"):
        return
    raise SpoiltTrainingError(
        f"training: the weights stopped being numbers at {where}; lower the learning rate of that phase or raise "
        f"training.warmup; {kept}"
    )
