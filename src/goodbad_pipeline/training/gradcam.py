"""Grad-CAM: which parts of a picture speak for a class."""

import keras
import numpy as np

FEATURES, CLASSIFIER = "top_activation", "predictions"


def explain(
    model: keras.Model, pixels: np.ndarray, rows: np.ndarray, classes: np.ndarray, batch_size: int = 64
) -> np.ndarray:
    """Weigh the last feature map by what each feature adds to a class (Selvaraju et al. 2017).

    Behind the last feature map lie only its mean and the classifier, so the gradient of a class's logit is the
    classifier's own weight at every place: what Grad-CAM would find by differentiation is known without (section 3.1 of
    the paper: it is then the same as CAM).

    Args:
        model: Built by ``build_network``.
        pixels: uint8, shape (N, side, side, 3); may be memory-mapped.
        rows: Which of ``pixels``, int64 of shape (n,).
        classes: Class index to explain for each, shape (n,).
        batch_size: Pictures at a time.

    Returns:
        float32 of shape (n, h, w), h and w of the last feature map; at least 0 and at most 1, which is the strongest
        place of the picture. All 0 where nothing speaks for the class.
    """
    features = keras.Model(model.inputs, model.get_layer(FEATURES).output)
    kernel = keras.ops.convert_to_numpy(model.get_layer(CLASSIFIER).kernel).astype(np.float32)
    maps = []
    for start in range(0, len(rows), batch_size):
        chosen = rows[start : start + batch_size]
        filled = np.pad(chosen, (0, batch_size - len(chosen)), mode="edge")
        found = keras.ops.convert_to_numpy(features.predict_on_batch(pixels[filled]))[: len(chosen)]
        weights = kernel[:, classes[start : start + batch_size]]
        maps.append(np.maximum(np.einsum("nhwf,fn->nhw", found.astype(np.float32), weights), 0))
    heat = np.concatenate(maps)
    return heat / np.maximum(heat.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)
