"""The one file that logs and registers models with MLflow, and loads them back."""

from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature, get_model_info
from mlflow.types import Schema, TensorSpec

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.pixels import Transform
from goodbad_pipeline.promotion import Decision

CHAMPION = "champion"
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
REQUIREMENTS = ("keras", "tensorflow", "numpy")


@dataclass(frozen=True)
class RegisteredModel:
    """A version of the registry with what it takes to use it.

    Attributes:
        version: Its number.
        model: The Keras model.
        class_names: Classes in the order of its outputs.
        transform: What a picture goes through before it.
    """

    version: str
    model: Any
    class_names: list[str]
    transform: Transform


def log_model(model: Any, name: str, class_names: list[str], transform: Transform, example: np.ndarray) -> str:
    """Log a Keras model to the active run and register it.

    Args:
        model: Pixels (n, side, side, 3), 0–255, to probabilities (n, classes).
        name: Registered model.
        class_names: Classes in the order of the outputs.
        transform: What a picture goes through before the model.
        example: One picture, uint8 of shape (1, side, side, 3).

    Returns:
        The new version's number.
    """
    side = transform.resolution
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("uint8"), (-1, side, side, 3))]),
        outputs=Schema([TensorSpec(np.dtype("float32"), (-1, len(class_names)))]),
    )
    info = Model.log(
        artifact_path=None,
        name="model",
        flavor=_KerasFlavor,
        model=model,
        registered_model_name=name,
        signature=signature,
        input_example=example,
        pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
        metadata={"class_names": class_names, "transform": asdict(transform)},
        validate_serving_input=False,
    )
    return str(info.registered_model_version)


class _KerasFlavor:
    """MLflow's Keras flavour; its save (3.17) writes the input example before it makes the folder for it."""

    __name__ = "mlflow.keras"

    @staticmethod
    def save_model(*, path: str, validate_serving_input: bool, **arguments: Any) -> None:
        """Make the folder, then save as ``mlflow.keras`` does; the flag is meant for :meth:`Model.log` alone."""
        Path(path).mkdir(parents=True)
        mlflow.keras.save_model(path=path, **arguments)


def load_champion(name: str) -> RegisteredModel | None:
    """Load the version with the alias ``champion``; None where there is none.

    Raises:
        InputError: It is registered, but its files cannot be loaded.
    """
    try:
        found = mlflow.MlflowClient().get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code in _ABSENT:
            return None
        raise
    return _load(name, str(found.version))


def load_version(name: str, model_version: str) -> RegisteredModel:
    """Load one version.

    Raises:
        InputError: There is none of that number, or its files cannot be loaded.
    """
    try:
        mlflow.MlflowClient().get_model_version(name, model_version)
    except MlflowException as error:
        if error.error_code in _ABSENT:
            raise InputError(
                f"registry: there is no version {model_version} of '{name}'; `kedro mlflow ui` shows which there are"
            ) from error
        raise
    return _load(name, model_version)


def _load(name: str, model_version: str) -> RegisteredModel:
    uri = f"models:/{name}/{model_version}"
    try:
        facts = get_model_info(uri).metadata
        facts["transform"]["background"] = tuple(facts["transform"]["background"])
        model = mlflow.keras.load_model(uri)
        return RegisteredModel(model_version, model, facts["class_names"], Transform(**facts["transform"]))
    except Exception as error:  # whatever a moved, emptied or foreign archive raises
        raise InputError(
            f"registry: version {model_version} of '{name}' cannot be loaded ({error}); restore its files, or choose "
            "another version (the champion's alias can be removed)"
        ) from error


def set_alias(name: str, model_version: str, decision: Decision, metrics: dict[str, float]) -> None:
    """Give a version the alias it earned, with the reason and its test metrics as tags."""
    client = mlflow.MlflowClient()
    client.set_registered_model_alias(name, decision.alias, model_version)
    tags = {"alias_reason": decision.reason, "alias_at_registration": decision.alias}
    tags |= {key: f"{value:.6g}" for key, value in metrics.items() if key.startswith("test_")}
    for key, value in tags.items():
        client.set_model_version_tag(name, model_version, key, value)
