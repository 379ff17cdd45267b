"""From pictures and a network to a trained network."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from goodbad_pipeline.evaluation.figures import history_figure
from goodbad_pipeline.images.pixels import Pixels
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.params import TrainingParams
from goodbad_pipeline.training.devices import prepare_device
from goodbad_pipeline.training.listener import EpochListener


def train_model(
    untrained_model: Any,
    pixels: Pixels,
    splits: pd.DataFrame,
    network: dict[str, Any],
    training: TrainingParams,
    epoch_log: EpochListener,
) -> tuple[Any, pd.DataFrame]:
    """Train on train, choose by validation: the trained model and its history."""
    from goodbad_pipeline.training.train import LabelledPixels, fit_model  # noqa: PLC0415 - imports Keras

    device = prepare_device(training.precision, training.xla, training.seed)
    names = class_names(splits)

    def labelled(split: str) -> LabelledPixels:
        table = splits[splits["split"] == split]
        truth = table["label"].map(names.index).to_numpy("int64")
        return LabelledPixels(pixels.array, pixels.rows(table["image_id"]), truth, len(names))

    history = fit_model(
        untrained_model,
        labelled("train"),
        labelled("validation"),
        training.recipe(jit_compile=device.jit_compile),
        pretrained=network["pretrained"],
        listener=epoch_log,
    )
    return untrained_model, history


def draw_history(history: pd.DataFrame) -> Figure:
    """Show loss and accuracy over all epochs."""
    return history_figure(history)
