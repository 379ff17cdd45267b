"""A network of one convolution, the images that it tells apart, and what a training of it would have left."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

SIDE = 24
NETWORK = {"resolution": SIDE, "network": "one convolution", "parameters": 99, "macs": 999, "weights": "none"} | {
    "source": None
}

HISTORY = pd.DataFrame(
    {"epoch": [1], "phase": "all", "loss": 0.5, "accuracy": 0.8, "learning_rate": 0.1, "kept": True}
    | {"val_loss": 0.6, "val_accuracy": 0.7}
)


def small_model(sign: float = 8.0):
    """Tells light images (good) from dark ones by their mean; a negative sign mistakes each for the other."""
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
    """The labels dataframe of `write_manifest`'s images, every fifth group for the test and for validation each."""
    table = pd.read_csv(root / "labels.csv")
    data = [(root / path).read_bytes() for path in table["path"]]
    number = table["group"].str.rsplit(" ", n=1).str[-1].astype(int) % 5
    return table.assign(
        image_id=[hashlib.sha256(content).hexdigest() for content in data],
        size=[len(content) for content in data],
        width=SIDE,
        height=SIDE,
        format="PNG",
        split=number.map({0: "test", 1: "validation"}).fillna("train"),
    )
