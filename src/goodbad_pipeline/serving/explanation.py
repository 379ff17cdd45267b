"""What in a file speaks for a class, as an image: for the page; it does not go along with the registered model."""

import io

import numpy as np
from PIL import Image

from goodbad_pipeline.evaluation.explanations import enlarge, overlay
from goodbad_pipeline.serving.classifier import Classifier

SIDE = 320
"""Pixels a side at least: smaller images are enlarged by a whole number."""


class FileExplainer:
    """Grad-CAM over what the network sees of a file.

    Args:
        classifier: Who is asked.

    Raises:
        ValueError: Its network is none of this project's, and cannot be explained so.
    """

    def __init__(self, classifier: Classifier) -> None:
        from goodbad_pipeline.training.gradcam import Explainer  # noqa: PLC0415 - imports Keras

        self._classifier = classifier
        self._explainer = Explainer(classifier.model)

    def explain(self, file: bytes, label: str) -> bytes | None:
        """Lay what speaks for a label over the image, brighter where it weighs more.

        Args:
            file: The file's bytes.
            label: One of the classifier's classes.

        Returns:
            A square PNG; None of a file that is no usable image, or of another label.
        """
        names = list(self._classifier.calibration.class_names)
        pixels = self._classifier.see(file)
        if label not in names or not isinstance(pixels, np.ndarray):
            return None
        heat = self._explainer.explain(pixels[None], np.array([names.index(label)]))
        shown = Image.fromarray(overlay(pixels[None], enlarge(heat, pixels.shape[0]))[0])
        side = pixels.shape[0] * max(1, -(-SIDE // pixels.shape[0]))
        stream = io.BytesIO()
        shown.resize((side, side), Image.Resampling.BICUBIC).save(stream, "PNG")
        return stream.getvalue()
