"""Train one trial of a hyperparameter search. Pruning, divergence and lack of memory end a trial without an error."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace

import keras
import pandas as pd

from goodbad_pipeline.errors import counted
from goodbad_pipeline.evaluation.metrics import VALIDATION_METRICS, larger_is_better
from goodbad_pipeline.experiments.trial_spec import COMPLETE, TrialResult
from goodbad_pipeline.images.labelled_pixels import LabelledPixels
from goodbad_pipeline.training.devices import out_of_memory
from goodbad_pipeline.training.progress import EpochCallback, Row
from goodbad_pipeline.training.recipe import Recipe
from goodbad_pipeline.training.stopping import StopRequest, TrainingDiverged
from goodbad_pipeline.training.train import ALL_LAYERS, HEAD, SCRATCH, fit_model, last_phase

logger = logging.getLogger(__name__)


class TrialPruned(Exception):
    """Raised to end a trial that is worse than the median of the other trials at the same epoch."""


def train_trial(
    build: Callable[[], keras.Model],
    train: LabelledPixels,
    validation: LabelledPixels,
    recipe: Recipe,
    *,
    pretrained: bool,
    metric: str,
    should_prune: Callable[[int, float], bool],
    stop: StopRequest,
    epoch_callback: EpochCallback,
) -> TrialResult:
    """Train with `fit_model` and return the metrics of the epoch whose weights are kept.

    A training has up to two phases: the classifier alone, then all layers. `should_prune(epoch, value)` is called in
    the last phase, with the number of each epoch but the last (1, 2, …) and the metric; True prunes the trial.

    Returns:
        ``complete`` (1 or 0), ``seconds``, ``epochs``, and the metrics of the kept epoch. An incomplete trial was
        pruned, diverged or ran out of memory; the metrics are of the best epoch, and missing if no epoch finished.
    """
    started, rows = time.perf_counter(), list[Row]()
    phase = last_phase(recipe, pretrained=pretrained)
    head_epochs = 1 if recipe.head == "logistic" else recipe.head_epochs
    epochs = {SCRATCH: recipe.scratch_epochs, ALL_LAYERS: recipe.epochs, HEAD: head_epochs}[phase]
    recipe = replace(recipe, interpolation=1.0)  # the metrics are those of an epoch

    def on_epoch(row: Row) -> None:
        rows.append(row)
        epoch_callback(row)
        epoch = sum(earlier["phase"] == phase for earlier in rows)
        if row["phase"] == phase and epoch < epochs and should_prune(epoch, row[metric]):
            raise TrialPruned

    def fit() -> pd.DataFrame:
        keras.utils.clear_session()
        fitted = fit_model(
            build(), train, validation, recipe, pretrained=pretrained, stop=stop, epoch_callback=on_epoch
        )
        return fitted.history

    history = _complete_history(fit, rows, recipe)
    result = {
        COMPLETE: float(history is not None),
        "seconds": time.perf_counter() - started,
        "epochs": float(len(rows)),
    }
    choose = max if larger_is_better(recipe.monitor) else min
    best = choose((row for row in rows if row["phase"] == phase), key=lambda row: row[recipe.monitor], default=None)
    kept = best if history is None else history[history["kept"]].iloc[0]
    names = ("loss", "accuracy", *VALIDATION_METRICS)
    return result if kept is None else result | {name: float(kept[name]) for name in names}


def _complete_history(fit: Callable[[], pd.DataFrame], rows: list[Row], recipe: Recipe) -> pd.DataFrame | None:
    """Return the history of a complete training; None if the training was pruned, diverged or ran out of memory."""
    try:
        return fit()
    except TrialPruned:
        logger.info("Pruned the trial after %s: worse than the median of the other trials", counted(len(rows), "epoch"))
    except TrainingDiverged as error:
        logger.info("The trial diverged: %s", error)
    except Exception as error:
        if not out_of_memory(error):
            raise
        logger.info("The trial ran out of memory with batches of %d images", recipe.batch_size)
    return None
