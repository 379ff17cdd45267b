"""The table of predictions: what was asked, what was answered, how surely."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from goodbad_pipeline.evaluation.arrays import FloatArray, IntArray

PREFIX = "probability_"


def prediction_table(images: pd.DataFrame, probabilities: FloatArray, class_names: Sequence[str]) -> pd.DataFrame:
    """Lay predictions beside the truth.

    Args:
        images: Rows with image_id, path, label and group.
        probabilities: Shape (n, k), rows summing to 1, in the order of ``images`` and ``class_names``.
        class_names: The k classes.

    Returns:
        image_id, path, label, group, predicted, correct, probability (of the predicted class), then one column
        ``probability_<class>`` a class.
    """
    chosen = probabilities.argmax(axis=1)
    table = images[["image_id", "path", "label", "group"]].reset_index(drop=True)
    table = table.assign(predicted=np.array(class_names)[chosen], probability=probabilities.max(axis=1))
    table.insert(5, "correct", table["predicted"] == table["label"])
    columns = [f"{PREFIX}{name}" for name in class_names]
    return table.join(pd.DataFrame(probabilities, columns=columns))


def predicted_classes(predictions: pd.DataFrame) -> list[str]:
    """Return the class names that a prediction table has a probability for, in its order."""
    return [name.removeprefix(PREFIX) for name in predictions.columns if name.startswith(PREFIX)]


def truth_and_probabilities(predictions: pd.DataFrame) -> tuple[IntArray, FloatArray]:
    """Return class numbers, int64 of shape (n,), and probabilities, float64 of shape (n, k), of a prediction table."""
    names = predicted_classes(predictions)
    truth = predictions["label"].map(names.index).to_numpy("int64")
    return truth, predictions[[f"{PREFIX}{name}" for name in names]].to_numpy("float64")
