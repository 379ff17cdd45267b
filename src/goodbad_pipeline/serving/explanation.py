"""Grad-CAM heat maps of image files, for the app. Not bundled with the registered model."""

import io

import numpy as np
from PIL import Image

from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.serving.classifier import Classifier

SIDE = 320
"""Minimum side of a heat map in pixels. Smaller images are enlarged by an integer factor."""


class FileExplainer:
    """Explains the predictions of a classifier.

    Raises:
        ValueError: The network lacks the layers that Grad-CAM needs.
    """

    def __init__(self, classifier: Classifier) -> None:
        from goodbad_pipeline.training.gradcam import Explainer  # noqa: PLC0415 - imports Keras

        self._classifier = classifier
        self._explainer = Explainer(classifier.model)

    def explain(self, file: bytes, label: str) -> bytes | None:
        """Return the image overlaid with the heat map of a class, as a square PNG.

        None if the file is rejected or the classifier has no such class.
        """
        names = list(self._classifier.calibration.class_names)
        pixels = self._classifier.load_image(file)
        if label not in names or not isinstance(pixels, np.ndarray):
            return None
        heat = self._explainer.explain(pixels[None], np.array([names.index(label)]))
        shown = Image.fromarray(figures.overlay(pixels[None], figures.enlarge(heat, pixels.shape[0]))[0])
        side = pixels.shape[0] * max(1, -(-SIDE // pixels.shape[0]))
        stream = io.BytesIO()
        shown.resize((side, side), Image.Resampling.BICUBIC).save(stream, "PNG")
        return stream.getvalue()
