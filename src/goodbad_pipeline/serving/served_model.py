"""What MLflow runs when the registered model is loaded: written into every version as text, so nothing is unpickled."""

import os
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc import PythonModel

OUTPUTS = ["label", "probability", "probabilities", "abstained", "reason"]


class ServedModel(PythonModel):
    """A column ``image`` in; label, probability, probabilities, abstained and reason out."""

    def load_context(self, context: Any) -> None:
        """Load the archive, once its hash and its content are checked."""
        from goodbad_pipeline.serving.classifier import load_classifier  # noqa: PLC0415 - on the path only now

        self._classifier = load_classifier(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Answer about each row.

        Raises:
            MlflowException: In a server, with status 400: no row of the request is a usable image. Everywhere else,
                and where some row is, the rows tell their reasons.
        """
        from goodbad_pipeline.serving.requests import read_image  # noqa: PLC0415

        served = os.environ.get("_MLFLOW_IS_IN_SERVING_ENVIRONMENT") == "true"
        files = [read_image(cell, allow_paths=not served) for cell in model_input["image"]]
        answers = self._classifier.classify(files)
        if served and answers["reason"].notna().all():
            first = f"{answers['reason'].iloc[0]}: {answers['detail'].iloc[0]}" if len(answers) else "no rows"
            message = f"image: no row is a usable image; the first one's reason is {first}"
            raise MlflowException(message, error_code=BAD_REQUEST)
        return answers[OUTPUTS].set_index(model_input.index)


set_model(ServedModel())
