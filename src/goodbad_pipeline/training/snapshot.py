"""All that a training step reads and changes, as arrays: weights, states of dropout, optimizer slots, kept weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

_MODEL, _OPTIMIZER, _KEPT = "model", "optimizer", "kept"


def capture(model: keras.Model, kept: Sequence[np.ndarray] | None) -> dict[str, np.ndarray]:
    """Copy the state of a compiled model, by name.

    ``variables`` hold weights, moving batch statistics and the states of every seeded layer; the optimizer's hold the
    number of steps, slots, moving averages of weights and, under mixed precision, the loss scale.
    """
    arrays = _numbered(_MODEL, model.variables) | _numbered(_OPTIMIZER, model.optimizer.variables)
    return arrays if kept is None else arrays | _numbered(_KEPT, kept)


def restore(model: keras.Model, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray] | None:
    """Put what :func:`capture` copied back; returns the kept weights, None where there were none yet."""
    for kind, variables in ((_MODEL, model.variables), (_OPTIMIZER, model.optimizer.variables)):
        for variable, array in zip(variables, _of(kind, arrays), strict=True):
            variable.assign(array)
    return _of(_KEPT, arrays) or None


def _numbered(kind: str, values: Sequence[Any]) -> dict[str, np.ndarray]:
    return {f"{kind}/{number:05d}": np.array(value) for number, value in enumerate(values)}


def _of(kind: str, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    return [arrays[name] for name in sorted(arrays) if name.startswith(f"{kind}/")]
