"""Grad-CAM: heatmaps that show which parts of an image support a class."""

import keras
import numpy as np

from goodbad_pipeline.training.batches import prediction_batch

FEATURES, CLASSIFIER = "top_activation", "predictions"


class Explainer:
    """Computes Grad-CAM heatmaps of one network.

    Only pooling and the classifier follow the last feature map. At every position, the gradient of a logit is then
    proportional to the weights of the classifier. The weights replace the gradient, and Grad-CAM equals CAM (Selvaraju
    et al. 2017, section 3.1).

    Raises:
        ValueError: The model has no layers ``top_activation`` and ``predictions``.
    """

    def __init__(self, model: keras.Model) -> None:
        self._features = keras.Model(model.inputs, model.get_layer(FEATURES).output)
        self._kernel = keras.ops.convert_to_numpy(model.get_layer(CLASSIFIER).kernel).astype(np.float32)

    def explain(self, pixels: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return one heatmap per image, for the image's class index in ``classes``: float32, shape (n, h, w).

        Height and width are those of the last feature map. The maximum of each heatmap is 1, or 0 if nothing supports
        the class. ``pixels`` is uint8 of shape (n, side, side, 3). Keras builds a graph for each new n.
        """
        features = keras.ops.convert_to_numpy(self._features.predict_on_batch(pixels)).astype(np.float32)
        heat = np.maximum(np.einsum("nhwf,fn->nhw", features, self._kernel[:, classes]), 0)
        return heat / np.maximum(heat.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)


def explain(
    model: keras.Model, pixels: np.ndarray, rows: np.ndarray, classes: np.ndarray, batch_size: int | None = None
) -> np.ndarray:
    """Return the heatmaps of ``pixels[rows]``, computed in batches. See :meth:`Explainer.explain`."""
    explainer, batch_size = Explainer(model), batch_size or prediction_batch()
    padding = (0, -len(rows) % batch_size)
    padded_rows, padded_classes = np.pad(rows, padding, mode="edge"), np.pad(classes, padding, mode="edge")
    parts = [slice(start, start + batch_size) for start in range(0, len(rows), batch_size)]
    heatmaps = [explainer.explain(pixels[padded_rows[part]], padded_classes[part]) for part in parts]
    return np.concatenate(heatmaps)[: len(rows)]
