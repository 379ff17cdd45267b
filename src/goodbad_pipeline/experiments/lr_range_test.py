"""The learning-rate range test (arXiv 1506.01186, section 3.3): raise the rate step by step until the loss rises."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import keras
import numpy as np
import pandas as pd

from goodbad_pipeline.images.labelled_pixels import LabelledPixels
from goodbad_pipeline.training.recipe import Recipe
from goodbad_pipeline.training.stopping import StopRequest, TrainingDiverged
from goodbad_pipeline.training.train import fit_model

_DECAY = 0.85  # of the exponential moving average of the loss, which averages over about seven steps
_RISEN = 4.0  # the test ends when the smoothed loss exceeds its lowest value by this factor


@dataclass(frozen=True)
class RangeTest:
    """Settings of a test: the rate starts at `low` and grows by a constant factor per step, up to `high` at the end."""

    steps: int
    low: float
    high: float


class _TestEnded(Exception):
    """Ends the training of a range test."""


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
    """Train all layers at rising rates and record the loss of each step.

    As in training, the classifier of a pretrained network is trained alone first. While the rate rises, only one
    validation image is predicted per epoch, because the test ignores validation metrics. Do not use the trained model.

    Returns:
        One row per step: learning_rate, loss, smoothed (the smoothed loss). The test ends early if the loss of a step
        is far above the lowest loss or not finite; that step is the last row.
    """
    if pretrained and recipe.head_epochs:
        fit_model(model, train, validation, replace(recipe, epochs=0), pretrained=True, stop=stop)
    losses: list[float] = []  # starts with the loss of step 0, whose rate is 0

    def record_step(metrics: Mapping[str, float]) -> None:
        losses.append(float(metrics["loss"]))
        smoothed = _smooth(losses[1:])
        if len(losses) > test.steps or (smoothed.iloc[-1:] > _RISEN * smoothed.min()).any():
            raise _TestEnded

    rising = _rising_recipe(recipe, test, steps_per_epoch=-(-len(train.rows) // recipe.batch_size))
    one_image = validation.shard(0, len(validation.rows))
    try:
        fit_model(model, train, one_image, rising, pretrained=pretrained, stop=stop, step_callback=record_step)
    except _TestEnded:
        pass
    except TrainingDiverged:
        if not losses or math.isfinite(losses[-1]):
            losses.append(math.nan)
    losses = losses[1:]
    factor = (test.high / test.low) ** (1 / test.steps)
    rates = test.low * factor ** np.arange(len(losses))
    return pd.DataFrame({"learning_rate": rates, "loss": losses, "smoothed": _smooth(losses)})


def suggest_range(curve: pd.DataFrame) -> tuple[float, float]:
    """Return the lowest and the highest learning rate to search.

    The highest rate is where the smoothed loss is lowest, because higher rates raise the loss. The lowest rate is 0.01
    times the highest rate: the middle, on a logarithmic scale, is 0.1 times the highest rate, a usual choice. If the
    highest rate is at most ten times the first tested rate, the loss hardly fell; the tested range is then returned.
    """
    rates = curve["learning_rate"].to_numpy(dtype=np.float64)
    lowest = np.where(np.isfinite(curve["smoothed"]), curve["smoothed"], np.inf).argmin()
    if rates[lowest] <= 10 * rates[0]:
        return float(rates[0]), float(rates[-1])
    return float(max(rates[lowest] / 100, rates[0])), float(rates[lowest])


def _rising_recipe(recipe: Recipe, test: RangeTest, steps_per_epoch: int) -> Recipe:
    """Return a recipe that trains all layers from the start, with a learning rate that rises exponentially."""
    epochs = -(-(test.steps + 1) // steps_per_epoch)
    return replace(
        recipe,
        head_epochs=0,
        epochs=epochs,
        scratch_epochs=epochs,
        learning_rate=test.low,
        scratch_learning_rate=test.low,
        schedule="exponential",
        decay_rate=test.high / test.low,
        decay_epochs=test.steps / steps_per_epoch,
        warmup=0.0,
        ema=0.0,
        patience=epochs,
        loss_limit=math.inf,
        data_shards=1,
    )


def _smooth(losses: list[float]) -> pd.Series:
    """Return the bias-corrected exponential moving average of the losses up to each step."""
    return pd.Series(losses, dtype=np.float64).ewm(alpha=1 - _DECAY).mean()
