"""Factories for evaluation tests: a small model, its splits and its training history."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from goodbad_pipeline.evaluation.predictions import Predictions

SIDE = 24
NETWORK = {"resolution": SIDE, "network": "one convolution", "parameters": 99, "macs": 999, "weights": "none"} | {
    "source": None
}

HISTORY = pd.DataFrame(
    {"epoch": [1], "phase": "all", "loss": 0.5, "accuracy": 0.8, "learning_rate": 0.1, "kept": True}
    | {"val_loss": 0.6, "val_accuracy": 0.7}
)


def small_model(sign: float = 8.0):
    """Return a model that classifies light images as good and dark ones as bad; a negative ``sign`` swaps them."""
    import keras

    constant = keras.initializers.Constant
    image = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(1, 3, kernel_initializer=constant(1 / 27), name="top_activation")(x)
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax", name="predictions")(x))
    model.get_layer("predictions").set_weights([np.array([[-sign, sign]]), np.array([sign / 2, -sign / 2])])
    return model


def read_splits(root: Path) -> pd.DataFrame:
    """Return the labels of `write_manifest`'s images; every fifth group is in test and in validation."""
    table = pd.read_csv(root / "labels.csv")
    data = [(root / path).read_bytes() for path in table["path"]]
    number = table["group"].str.rsplit(" ", n=1).str[-1].astype(int) % 5
    return table.assign(
        source_label=table["label"],
        image_id=[hashlib.sha256(content).hexdigest() for content in data],
        size=[len(content) for content in data],
        width=SIDE,
        height=SIDE,
        format="PNG",
        split=number.map({0: "test", 1: "validation"}).fillna("train"),
    )


def predictions_of(y_true: np.ndarray, probabilities: np.ndarray, predicted: np.ndarray | None = None) -> Predictions:
    """Return predictions of the likeliest class, or of ``predicted``, with class names "0", "1", …."""
    names = [str(index) for index in range(probabilities.shape[1])]
    return Predictions(names, y_true, probabilities, probabilities.argmax(axis=1) if predicted is None else predicted)
