"""From pictures and a network to a trained network."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from goodbad_pipeline.evaluation.figures import history_figure
from goodbad_pipeline.images.pixels import Pixels
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.params import ModelParams, TrainingParams
from goodbad_pipeline.training.augmentation import Augmentation
from goodbad_pipeline.training.devices import prepare_device
from goodbad_pipeline.training.listener import EpochListener


def train_model(
    untrained_model: Any,
    pixels: Pixels,
    splits: pd.DataFrame,
    model: ModelParams,
    training: TrainingParams,
    epoch_log: EpochListener,
) -> tuple[Any, pd.DataFrame]:
    """Train on train, choose by validation: the trained model and its history."""
    from goodbad_pipeline.training.recipe import Recipe  # noqa: PLC0415 - imports Keras
    from goodbad_pipeline.training.train import LabelledPixels, fit_model  # noqa: PLC0415

    device = prepare_device(training.precision, training.xla, training.seed)
    recipe = Recipe(
        **training.model_dump(include=RECIPE_FIELDS),
        augmentation=Augmentation(**training.augmentation.model_dump()),
        jit_compile=device.jit_compile,
    )
    names = class_names(splits)

    def labelled(split: str) -> LabelledPixels:
        table = splits[splits["split"] == split]
        truth = table["label"].map(names.index).to_numpy("int64")
        return LabelledPixels(pixels.array, pixels.rows(table["image_id"]), truth, len(names))

    history = fit_model(
        untrained_model,
        labelled("train"),
        labelled("validation"),
        recipe,
        pretrained=model.weights_source is not None,
        listener=epoch_log,
    )
    return untrained_model, history


RECIPE_FIELDS = {
    "seed",
    "batch_size",
    "head_epochs",
    "epochs",
    "scratch_epochs",
    "head_learning_rate",
    "learning_rate",
    "scratch_learning_rate",
    "warmup",
    "weight_decay",
    "label_smoothing",
    "patience",
}


def draw_history(history: pd.DataFrame) -> Figure:
    """Show loss and accuracy over all epochs."""
    return history_figure(history)
