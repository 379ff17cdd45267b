"""Grad-CAM: which parts of an image speak for a class."""

import keras
import numpy as np

FEATURES, CLASSIFIER = "top_activation", "predictions"


class Explainer:
    """Grad-CAM of one network, whose parts are put together once: asking it again builds no other graph.

    Behind the last feature map lie only its mean and the classifier, so the gradient of a class's logit is the
    classifier's own weight at every place: what Grad-CAM would find by differentiation is known without (Selvaraju et
    al. 2017, section 3.1: it is then the same as CAM).

    Args:
        model: Built by ``build_network``.

    Raises:
        ValueError: It has no layers of those names.
    """

    def __init__(self, model: keras.Model) -> None:
        self._features = keras.Model(model.inputs, model.get_layer(FEATURES).output)
        self._kernel = keras.ops.convert_to_numpy(model.get_layer(CLASSIFIER).kernel).astype(np.float32)

    def explain(self, pixels: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Weigh the last feature map by what each feature adds to a class.

        Args:
            pixels: uint8, shape (n, side, side, 3); each n asks for a graph of its own.
            classes: Class index to explain for each, shape (n,).

        Returns:
            float32 of shape (n, h, w), h and w of the last feature map; at least 0 and at most 1, which is the
            strongest place of the image. All 0 where nothing speaks for the class.
        """
        found = keras.ops.convert_to_numpy(self._features.predict_on_batch(pixels)).astype(np.float32)
        heat = np.maximum(np.einsum("nhwf,fn->nhw", found, self._kernel[:, classes]), 0)
        return heat / np.maximum(heat.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)


def explain(
    model: keras.Model, pixels: np.ndarray, rows: np.ndarray, classes: np.ndarray, batch_size: int = 64
) -> np.ndarray:
    """Explain many images, in batches of one size.

    Args:
        model: As :class:`Explainer` takes it.
        pixels: uint8, shape (N, side, side, 3); may be memory-mapped.
        rows: Which of ``pixels``, int64 of shape (n,).
        classes: Class index to explain for each, shape (n,).
        batch_size: Images at a time.

    Returns:
        As :meth:`Explainer.explain`.
    """
    explainer = Explainer(model)
    filled = np.pad(rows, (0, -len(rows) % batch_size), mode="edge")
    asked = np.pad(classes, (0, -len(rows) % batch_size), mode="edge")
    parts = [slice(start, start + batch_size) for start in range(0, len(rows), batch_size)]
    return np.concatenate([explainer.explain(pixels[filled[part]], asked[part]) for part in parts])[: len(rows)]
