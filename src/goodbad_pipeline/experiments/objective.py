"""One training of a search: its last word, whether it was given up, and whether it went wrong."""

import logging
import time
from collections.abc import Callable

import keras
import pandas as pd

from goodbad_pipeline.evaluation.metrics import larger_is_better
from goodbad_pipeline.experiments.trial_spec import TrialResult
from goodbad_pipeline.training.devices import out_of_memory
from goodbad_pipeline.training.progress import EpochCallback, Row
from goodbad_pipeline.training.recipe import Recipe
from goodbad_pipeline.training.train import ALL_LAYERS, SCRATCH, LabelledPixels, fit_model, last_phase
from goodbad_pipeline.training.validation import VALIDATION_METRICS, TrainingDiverged

logger = logging.getLogger(__name__)

COMPLETE = "complete"  # 1: trained to its end; 0: given up, or gone wrong
_KEPT = ("loss", "accuracy", *VALIDATION_METRICS)


class TrialPruned(Exception):
    """A trial looks hopeless beside the others."""


def try_recipe(
    build: Callable[[], keras.Model],
    train: LabelledPixels,
    validation: LabelledPixels,
    recipe: Recipe,
    *,
    pretrained: bool,
    metric: str,
    prune: Callable[[int, float], bool],
    epoch_callback: EpochCallback,
) -> TrialResult:
    """Train as `fit_model` does, and return the measures of the epoch whose weights it would keep.

    Args:
        build: Makes the untrained network.
        train: What is learnt from.
        validation: What is measured.
        recipe: How.
        pretrained: Whether the weights come from earlier training.
        metric: The measure that decides whether a trial is given up.
        prune: From the epoch (1, 2, …) of the last phase and the metric there to whether to give up. Not asked after
            the last epoch.
        epoch_callback: Told of each epoch.

    Returns:
        ``complete`` (1 or 0), ``seconds``, ``epochs``, and, as far as there were any, the measures of that epoch.
        One that was given up, whose loss exploded, or that did not fit into memory is not complete.
    """
    started, rows = time.perf_counter(), list[Row]()
    phase = last_phase(recipe, pretrained=pretrained)
    epochs = {SCRATCH: recipe.scratch_epochs, ALL_LAYERS: recipe.epochs}.get(phase, recipe.head_epochs)

    def watch(row: Row) -> None:
        rows.append(row)
        number = sum(one["phase"] == phase for one in rows)
        if row["phase"] == phase and number < epochs and prune(number, row[metric]):
            raise TrialPruned

    def fit() -> pd.DataFrame:
        keras.utils.clear_session()
        return fit_model(
            build(), train, validation, recipe, pretrained=pretrained, epoch_callback=epoch_callback, watch=watch
        )

    history = _whole_history(fit, rows, recipe)
    facts = {COMPLETE: float(history is not None), "seconds": time.perf_counter() - started, "epochs": float(len(rows))}
    best = _best_row([row for row in rows if row["phase"] == phase], recipe)
    kept = best if history is None else history[history["kept"]].iloc[0]
    return facts if kept is None else facts | {name: float(kept[name]) for name in _KEPT}


def _whole_history(fit: Callable[[], pd.DataFrame], rows: list[Row], recipe: Recipe) -> pd.DataFrame | None:
    """The history of a training that ends by itself; what else may end a trial, and not the search, is told."""
    try:
        return fit()
    except TrialPruned:
        logger.info("Given up after %d epochs: below the median of the others", len(rows))
    except TrainingDiverged as error:
        logger.info("Gone wrong: %s", error)
    except Exception as error:
        if not out_of_memory(error):
            raise
        logger.info("Gone wrong: %d images a step do not fit into memory", recipe.batch_size)
    return None


def _best_row(rows: list[Row], recipe: Recipe) -> Row | None:
    """The best epoch by the recipe's monitor, the first of equals: what is told of a trial that was given up."""
    choose = max if larger_is_better(recipe.monitor) else min
    return choose(rows, key=lambda row: row[recipe.monitor], default=None)
