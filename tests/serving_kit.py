"""A small model and process environments for tests of serving."""

import os

import numpy as np

CLASSES = ["bad", "good"]
SIDE = 24


def small_model():
    """Return a model that classifies light images as good and dark ones as bad, by their mean."""
    import keras

    constant = keras.initializers.Constant
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(1, 3, kernel_initializer=constant(1 / 27), name="top_activation"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="softmax", name="predictions"),
        ]
    )
    model.layers[-1].set_weights([np.array([[-8.0, 8.0]]), np.array([4.0, -4.0])])
    return model


REFUSING = """
import sys


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("goodbad_pipeline", "kedro", "kedro_mlflow"):
            raise ModuleNotFoundError(f"{name} is not installed here")


sys.meta_path.insert(0, Refuse())
"""
"""A sitecustomize.py that makes Python start as if this project was not installed."""


def environment(uri: str) -> dict[str, str]:
    """Return the environment of a process that uses the store."""
    return {**os.environ, "MLFLOW_TRACKING_URI": uri, "TF_CPP_MIN_LOG_LEVEL": "2"}
