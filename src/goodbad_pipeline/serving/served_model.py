"""The pyfunc model that MLflow loads. Each version stores this file as a script, so that nothing is unpickled."""

import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc import PythonModel

OUTPUTS = ["label", "probability", "probabilities", "abstained", "reason"]


class ServedModel(PythonModel):
    """The registered model. It predicts the columns `OUTPUTS` from a column ``image``."""

    def load_context(self, context: Any) -> None:
        """Check the hash and content of the archive, and load it."""
        from goodbad_pipeline.serving.classifier import load_classifier, load_once  # noqa: PLC0415 - MLflow has only now put it on the path

        load = load_once if _runs_in_spark() else load_classifier
        self._classifier = load(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Classify each row; a row that is not an image gets a reason instead of a label.

        Raises:
            MlflowException: No row of a request to a server is an image. The response has status 400.
        """
        from goodbad_pipeline.serving.requests import read_image  # noqa: PLC0415

        served = os.environ.get("_MLFLOW_IS_IN_SERVING_ENVIRONMENT") == "true"
        files = [read_image(cell, allow_paths=not served) for cell in model_input["image"]]
        predictions = self._classifier.classify(files)
        if _runs_in_spark():
            predictions = _without_missing(predictions)
        if served and predictions["reason"].notna().all():
            rows = (predictions["reason"] + ": " + predictions["detail"]).tolist() or ["no rows"]
            raise MlflowException(f"image: no row is an image; the first row: {rows[0]}", error_code=BAD_REQUEST)
        return predictions[OUTPUTS].set_index(model_input.index)


def _without_missing(predictions: pd.DataFrame) -> pd.DataFrame:
    """Replace missing values: `spark_udf` writes a missing text as ``None`` and fails at a missing mapping."""
    empty: dict[str, Any] = {"label": "", "reason": "", "probabilities": {}}
    return predictions.assign(**{name: [one or value for one in predictions[name]] for name, value in empty.items()})


def _runs_in_spark() -> bool:
    """Return True in a worker process of Spark, as in the function of `mlflow.pyfunc.spark_udf`."""
    pyspark = sys.modules.get("pyspark")
    return pyspark is not None and pyspark.TaskContext.get() is not None


set_model(ServedModel())
