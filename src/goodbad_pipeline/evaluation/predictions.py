"""The table of predictions: what was asked, what was answered, how surely."""

import numpy as np
import pandas as pd

from goodbad_pipeline.evaluation.arrays import FloatArray, IntArray
from goodbad_pipeline.evaluation.decision import Calibration

PREFIX = "probability_"
MODEL = "model"  # the name of ours in tables that hold baselines too


def prediction_table(images: pd.DataFrame, probabilities: FloatArray, calibration: Calibration) -> pd.DataFrame:
    """Lay predictions beside the truth.

    Args:
        images: Rows with image_id, path, label and group.
        probabilities: Shape (n, k), rows summing to 1, in the order of ``images`` and of the calibration's classes; as
            the model gives them.
        calibration: How they are read.

    Returns:
        image_id, path, label, group, predicted, correct, probability (of the predicted class), abstained, then one
        column ``probability_<class>`` a class; all probabilities are calibrated.
    """
    class_names = list(calibration.class_names)
    values = calibration.calibrate(probabilities)
    chosen = calibration.choose(values)
    table = images[["image_id", "path", "label", "group"]].reset_index(drop=True)
    table = table.assign(
        predicted=np.array(class_names)[chosen],
        probability=np.take_along_axis(values, chosen[:, None], axis=1)[:, 0],
        abstained=calibration.abstain(values),
    )
    table.insert(5, "correct", table["predicted"] == table["label"])
    columns = [f"{PREFIX}{name}" for name in class_names]
    return table.join(pd.DataFrame(values, columns=columns))


def predicted_classes(predictions: pd.DataFrame) -> list[str]:
    """Return the class names that a prediction table has a probability for, in its order."""
    return [name.removeprefix(PREFIX) for name in predictions.columns if name.startswith(PREFIX)]


def y_true_and_probabilities(predictions: pd.DataFrame) -> tuple[IntArray, FloatArray]:
    """Return class numbers, int64 of shape (n,), and probabilities, float64 of shape (n, k), of a prediction table."""
    names = predicted_classes(predictions)
    y_true = predictions["label"].map(names.index).to_numpy("int64")
    return y_true, predictions[[f"{PREFIX}{name}" for name in names]].to_numpy("float64")


def chosen_classes(predictions: pd.DataFrame) -> IntArray:
    """Return the class number of each answer of a prediction table, int64 of shape (n,)."""
    return predictions["predicted"].map(predicted_classes(predictions).index).to_numpy("int64")


def by_model(predictions: pd.DataFrame, baseline_predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return prediction tables by the name of the model, ours first; ``baseline_predictions`` has a column baseline."""
    baselines = {str(name): part for name, part in baseline_predictions.groupby("baseline", sort=False)}
    return {MODEL: predictions, **baselines}
