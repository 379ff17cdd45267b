"""Nodes that convert a registered version for other runtimes, and compare each file with Keras on the test split."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from goodbad_pipeline import lazy
from goodbad_pipeline.errors import InputError, two_digits
from goodbad_pipeline.evaluation.comparison import Agreement, measure_agreement
from goodbad_pipeline.exporting.measuring import measure_rates, predict_with_each
from goodbad_pipeline.images.pixels import pixel_source
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.images.stores import open_root
from goodbad_pipeline.params import ExportParams, ImageParams, RegistryParams
from goodbad_pipeline.registry.exports import record_exports
from goodbad_pipeline.registry.lineage import read_exposure
from goodbad_pipeline.registry.models import RegisteredModel, find_model, read_classes, record_use
from goodbad_pipeline.serving.runtimes import KERAS, RUNTIMES, load_network

logger = logging.getLogger(__name__)
converting = lazy.load("goodbad_pipeline.exporting.converting")

TIMED = 256
METRICS = ("images_per_second", "times_keras", "same_labels", "max_difference", "accuracy")


def load_exported_version(splits: pd.DataFrame, export: ExportParams, registry: RegistryParams) -> RegisteredModel:
    """Load the version to export.

    Raise `InputError` if the classes of version and splits differ, or if Keras's backend is not TensorFlow.
    """
    _require_same_classes(class_names(splits), export, registry)
    converting.require_tensorflow()
    model = find_model(registry.name, export.version)
    record_use(model)
    return model


def export_model(
    model: RegisteredModel, splits: pd.DataFrame, export: ExportParams, images: ImageParams
) -> dict[str, bytes]:
    """Convert the model; return the contents of the files by file name.

    The int8 file is calibrated on a sample of the training split.
    """
    train = splits[splits["split"] == "train"]
    sample = train.sample(min(export.calibration_images, len(train)), random_state=export.seed)
    pixels = pixel_source(sample, open_root(images.root), model.transform).streamed().array
    files = converting.convert_model(model.model, np.asarray(pixels[:]))
    return {RUNTIMES[backend].file: content for backend, content in files.items()}


def measure_exports(
    model: RegisteredModel, files: Path, splits: pd.DataFrame, export: ExportParams, images: ImageParams
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Compare every file with the Keras model on the test split, and measure the speed of each in alternating rounds.

    Returns:
        A table with one row per backend, Keras first, and metrics. The columns of the table are backend, file,
        megabytes, images_per_second, times_keras (speed relative to Keras), same_labels (share of images with the class
        that Keras predicts), max_difference (of a probability), accuracy, agrees and same_answers.
        same_answers: no probability differs from Keras by more than ``export.tolerance``, and accuracy is not lower.
        agrees: the file may be used. For litert_int8, accuracy may be lower by ``export.int8_accuracy``. Other files
        need same_answers.
        The metrics are these numbers and, if known, the number of test images on which the version was trained.
    """
    test = splits[splits["split"] == "test"]
    y_true = test["label"].map(model.class_names.index).to_numpy("int64")
    metrics = _count_exposed(model, test)
    pixels = pixel_source(test, open_root(images.root), model.transform).streamed()
    rows = pixels.rows(test["image_id"])
    networks = {KERAS: model.model.predict_on_batch}
    networks |= {name: load_network(name, files).predict_on_batch for name in RUNTIMES}
    predictions = predict_with_each(networks, pixels.array, rows)
    rates = measure_rates(networks, np.asarray(pixels.array[rows[:TIMED]]), rounds=export.rounds)
    agreements = {
        name: measure_agreement(y_true, predictions[KERAS], predicted, model.classifier.calibration)
        for name, predicted in predictions.items()
    }
    table = pd.DataFrame([_row(name, agreement, rates, files, export) for name, agreement in agreements.items()])
    for row in table.to_dict("records"):
        rate = two_digits(row["images_per_second"])
        logger.info("%s: %s images per second, accuracy %.3f", row["backend"], rate, row["accuracy"])
        metrics |= {f"export_{row['backend']}_{name}": float(row[name]) for name in METRICS}
    return table, metrics


def _count_exposed(model: RegisteredModel, test: pd.DataFrame) -> dict[str, float]:
    """Count the images of the stored test split on which the version was trained or selected."""
    exposure = read_exposure(model.name, model.version)
    if not exposure.complete:
        logger.warning(
            "The training images of version %s are not all known, so all accuracies may be too high. Use them only to "
            "compare the exported files with Keras",
            model.version,
        )
        return {}
    count = int(exposure.exposed_rows(test).sum())
    if count:
        logger.warning(
            "Version %s was trained or selected on %d of %d test images, or on images of the same groups, so all "
            "accuracies are too high. Use them only to compare the exported files with Keras",
            *(model.version, count, len(test)),
        )
    return {"export_exposed_images": float(count), "export_seen_pictures": float(count)}  # and former name


def attach_exports(model: RegisteredModel, files: Path, export_table: pd.DataFrame) -> dict[str, Any]:
    """Store the files with the model in MLflow, where the prediction pipeline finds them."""
    for row in export_table[~export_table["agrees"]].to_dict("records"):
        logger.warning("%s will not be used, because its predictions differ from Keras: %s", row["backend"], row)
    columns = ("images_per_second", "agrees", "same_answers")
    rows = export_table.to_dict("records")
    backends = {row["backend"]: {name: row[name] for name in columns} for row in rows}
    location = record_exports(model.name, model.version, backends, files)
    return {"name": model.name, "version": model.version, "files": location}


def _require_same_classes(names: list[str], export: ExportParams, registry: RegistryParams) -> None:
    """Raise `InputError` unless the version has the classes ``names``. The model itself is not loaded."""
    version, classes = read_classes(registry.name, export.version)
    if classes != names:
        raise InputError(
            f"registry.name: version {version} of '{registry.name}' must have the classes of the stored splits "
            f"({', '.join(names)}), got {', '.join(classes)}. Set registry.name to a model with the classes of the "
            "splits, or first run --pipeline=train with a new registry.name"
        )


def _row(name: str, agreement: Agreement, rates: dict[str, float], files: Path, export: ExportParams) -> dict[str, Any]:
    same = agreement.within(difference=export.tolerance, accuracy=0.0)
    close = agreement.within(difference=1.0, accuracy=export.int8_accuracy)
    file = "" if name == KERAS else RUNTIMES[name].file
    return {
        "backend": name,
        "file": file,
        "megabytes": (files / file).stat().st_size / 1e6 if file else float("nan"),
        "images_per_second": rates[name],
        "times_keras": rates[name] / rates[KERAS],
        "same_labels": agreement.same_labels,
        "max_difference": agreement.max_difference,
        "accuracy": agreement.accuracy,
        "agrees": close if name == "litert_int8" else same,
        "same_answers": same,
    }
