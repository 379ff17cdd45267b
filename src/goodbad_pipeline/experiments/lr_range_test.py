"""The learning-rate range test (arXiv 1506.01186, section 3.3): let the rate rise step by step until the loss does."""

import logging
import math
from dataclasses import dataclass, replace

import keras
import numpy as np
import pandas as pd

from goodbad_pipeline.training.distributed import SINGLE_PROCESS
from goodbad_pipeline.training.labelled_pixels import LabelledPixels
from goodbad_pipeline.training.recipe import Recipe
from goodbad_pipeline.training.stopping import StopRequest
from goodbad_pipeline.training.train import all_layers, fit_model

logger = logging.getLogger(__name__)

CURVE_COLUMNS = ["learning_rate", "loss", "smoothed"]
_SMOOTHING = 0.85  # share of the loss before in the smoothed one: remembers some seven steps
_RISEN = 4.0  # times the lowest smoothed loss: nothing is left to see


@dataclass(frozen=True)
class RangeTest:
    """What is tested.

    Attributes:
        steps: Steps at most.
        low: Rate of the first.
        high: Rate of the last.
    """

    steps: int
    low: float
    high: float


def run_range_test(
    model: keras.Model,
    train: LabelledPixels,
    validation: LabelledPixels,
    recipe: Recipe,
    test: RangeTest,
    *,
    pretrained: bool,
    stop: StopRequest | None = None,
) -> pd.DataFrame:
    """Train all layers for a few steps at rates that rise by the same factor, and note the loss of each step.

    A pretrained network's classifier is fitted first, as it would be in training. The model is spoilt afterwards.

    Returns:
        One row a step: learning_rate, loss, smoothed; it ends where the loss has risen far above its lowest.
    """
    if pretrained and recipe.head_epochs:
        fit_model(model, train, validation, replace(recipe, epochs=0), pretrained=True, stop=stop)
    per_epoch = -(-len(train.rows) // recipe.batch_size)
    rising = replace(
        recipe,
        schedule="exponential",
        warmup=0.0,
        ema=0.0,
        decay_rate=test.high / test.low,
        decay_epochs=test.steps / per_epoch,
    )
    rows: list[tuple[float, float, float]] = []
    data = (model, train, validation, rising, SINGLE_PROCESS)
    with all_layers(*data, "range test", 1, test.low, pretrained=pretrained) as phase:
        for step in range(test.steps + 1):
            rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
            model.reset_metrics()
            loss = float(model.train_on_batch(*phase.batches(step), return_dict=True)["loss"])
            if step == 0:  # the schedule begins at 0
                continue
            rows.append((rate, loss, _smooth([row[1] for row in rows] + [loss])))
            if _has_risen(rows):
                break
    return pd.DataFrame(rows, columns=CURVE_COLUMNS)


def suggest_range(curve: pd.DataFrame) -> tuple[float, float]:
    """Return the rates to search between: up to where the smoothed loss is lowest, and down to a hundredth of that.

    Beyond its lowest the loss no longer falls, so no higher rate is of use; a tenth of that rate is a usual choice, and
    lies in the middle. Where the loss hardly ever falls, within ten times the first rate, the test tells nothing, and
    the range is all that was tested.

    Args:
        curve: What `run_range_test` gave, at least two rows.
    """
    rates = curve["learning_rate"].to_numpy(dtype=np.float64)
    lowest = np.where(np.isfinite(curve["smoothed"]), curve["smoothed"], np.inf).argmin()
    if rates[lowest] <= 10 * rates[0]:
        return float(rates[0]), float(rates[-1])
    return float(max(rates[lowest] / 100, rates[0])), float(rates[lowest])


def _smooth(losses: list[float]) -> float:
    """Exponential mean of the losses so far, without a bias towards 0."""
    weights = _SMOOTHING ** np.arange(len(losses))[::-1]
    return float(np.average(losses, weights=weights))


def _has_risen(rows: list[tuple[float, float, float]]) -> bool:
    last, lowest = rows[-1][2], min(row[2] for row in rows)
    return not math.isfinite(last) or last > _RISEN * lowest
