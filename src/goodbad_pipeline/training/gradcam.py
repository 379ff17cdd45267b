"""Grad-CAM: heatmaps of the image parts that support a class."""

import keras
import numpy as np

FEATURES, CLASSIFIER = "top_activation", "predictions"


class Explainer:
    """Grad-CAM of one network; its graph is built once.

    Only a mean and the classifier follow the last feature map. So the gradient of a class's logit is the classifier's
    weight at every position, and no differentiation is needed (Selvaraju et al. 2017, section 3.1: Grad-CAM then
    equals CAM).

    Raises:
        ValueError: The model has no layers ``top_activation`` and ``predictions``.
    """

    def __init__(self, model: keras.Model) -> None:
        self._features = keras.Model(model.inputs, model.get_layer(FEATURES).output)
        self._kernel = keras.ops.convert_to_numpy(model.get_layer(CLASSIFIER).kernel).astype(np.float32)

    def explain(self, pixels: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return the heatmap of each image for a class: float32, shape (n, h, w), as the last feature map.

        Values are 0–1, where 1 is the maximum of the image; all are 0 if nothing supports the class. ``pixels`` is
        uint8 of shape (n, side, side, 3); each new n builds another graph.
        """
        features = keras.ops.convert_to_numpy(self._features.predict_on_batch(pixels)).astype(np.float32)
        heat = np.maximum(np.einsum("nhwf,fn->nhw", features, self._kernel[:, classes]), 0)
        return heat / np.maximum(heat.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)


def explain(
    model: keras.Model, pixels: np.ndarray, rows: np.ndarray, classes: np.ndarray, batch_size: int = 64
) -> np.ndarray:
    """Compute heatmaps of ``pixels[rows]`` in batches, as :meth:`Explainer.explain` does."""
    explainer = Explainer(model)
    padding = (0, -len(rows) % batch_size)
    padded_rows, padded_classes = np.pad(rows, padding, mode="edge"), np.pad(classes, padding, mode="edge")
    parts = [slice(start, start + batch_size) for start in range(0, len(rows), batch_size)]
    heatmaps = [explainer.explain(pixels[padded_rows[part]], padded_classes[part]) for part in parts]
    return np.concatenate(heatmaps)[: len(rows)]
