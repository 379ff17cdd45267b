"""Registration of models with MLflow, and loading of registered versions."""

import base64
import hashlib
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types.schema import AnyType, ColSpec, DataType, Map, Schema
from PIL import Image

from goodbad_pipeline import tracking
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.evaluation.exposure import UNKNOWN, Exposure
from goodbad_pipeline.evaluation.promotion import Decision, reconsider
from goodbad_pipeline.images.pixels import Transform
from goodbad_pipeline.registry.exports import load_exported
from goodbad_pipeline.serving.archive import file_digest
from goodbad_pipeline.serving.bundle import REQUIREMENTS, write_bundle
from goodbad_pipeline.serving.classifier import ARCHIVE_FILE, CONFIG_FILE, Classifier, ClassifierConfig, load_classifier
from goodbad_pipeline.serving.runtimes import KERAS, Backend

logger = logging.getLogger(__name__)

CHAMPION, CHALLENGER = "champion", "challenger"
ARCHIVE_TAG, CONFIG_TAG = "archive_sha256", "facts_sha256"
WEIGHTS_TAG = "weights_sha256"
EXPOSURE_TAG, EXPOSURE_FILE = "seen_sha256", "seen.npz"
COMPARED_TAG = "champion_before"  # the champion with which the version was compared; empty if there was none
_NOT_FOUND = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
_FOLDER = "classifier"
_SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(AnyType(), "image")]),
    outputs=Schema(
        [
            ColSpec(DataType.string, "label", required=False),
            ColSpec(DataType.double, "probability", required=False),
            ColSpec(Map(DataType.double), "probabilities", required=False),
            ColSpec(DataType.boolean, "abstained"),
            ColSpec(DataType.string, "reason", required=False),
        ]
    ),
)


@dataclass(frozen=True)
class RegisteredModel:
    """A loaded version of a registered model."""

    name: str
    version: str
    classifier: Classifier
    backend: str = KERAS  # or one of RUNTIMES

    @property
    def model(self) -> Any:
        """The Keras model, or a network with the same ``predict_on_batch``."""
        return self.classifier.model

    @property
    def class_names(self) -> list[str]:
        """Classes in the order of the outputs."""
        return list(self.classifier.calibration.class_names)

    @property
    def transform(self) -> Transform:
        """How an image is converted to pixels."""
        return self.classifier.transform


def log_model(
    model: Any,
    name: str,
    calibration: Calibration,
    transform: Transform,
    example: np.ndarray,
    exposure: Exposure = UNKNOWN,
) -> str:
    """Log a Keras model to the current run as a pyfunc, register it, and return the version number.

    If an earlier run, or this run before an interruption, has registered the same model, no new version is created.
    ``example`` contains the pixels of one image: uint8, shape (side, side, 3).

    Raises:
        TrackingUnavailable: MLflow is unavailable, or does not have the run yet.
    """
    weights = _weights_digest(model)
    with TemporaryDirectory() as temporary:
        folder, exposure_file = Path(temporary, _FOLDER), Path(temporary, EXPOSURE_FILE)
        exposure.write(exposure_file)
        tags = {EXPOSURE_TAG: file_digest(exposure_file), WEIGHTS_TAG: weights}
        same = _find_versions(name, WEIGHTS_TAG, weights)
        number = _find_registered(same, tags[EXPOSURE_TAG], calibration, transform)
        if number is not None:
            logger.info("The model is registered already, as %s version %s; no new version is created", name, number)
            return number
        folder.mkdir()
        model.save(folder / ARCHIVE_FILE)
        digest = file_digest(folder / ARCHIVE_FILE)
        ClassifierConfig(transform, calibration, digest).write(folder / CONFIG_FILE)
        tags |= {ARCHIVE_TAG: digest, CONFIG_TAG: file_digest(folder / CONFIG_FILE)}
        bundle = write_bundle(Path(temporary, "code"))
        with tracking.raise_unavailable(), tracking.activate_run():
            info = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(bundle.script),
                artifacts={"model": str(folder), "seen": str(exposure_file)},
                code_paths=[str(bundle.package)],
                pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
                signature=_SIGNATURE,
                input_example=pd.DataFrame({"image": [_base64_png(example)]}),
            )
            number = str(mlflow.register_model(info.model_uri, name, tags=tags).version)
    if same:
        earlier = ", ".join(str(found.version) for found in same)
        logger.info("%s version %s has the same weights as version %s", name, number, earlier)
    return number


def load_champion(name: str) -> RegisteredModel | None:
    """Load the version with the alias ``champion``; return None if there is no champion.

    If the current run was resumed after its own version became champion, load the previous champion.
    """
    champion, run = _find_alias(name, CHAMPION), tracking.current_run()
    if champion is not None and run is not None and champion.run_id == run:
        previous = champion.tags.get(COMPARED_TAG)
        return load_version(name, previous) if previous else None
    return None if champion is None else _load(champion)


def find_model(name: str, version_or_alias: str | int, backend: Backend = KERAS) -> RegisteredModel:
    """Load a version by its number or alias. Raises the errors of :func:`load_version`."""
    return _load(_find_version(name, str(version_or_alias)), backend)


def load_version(name: str, model_version: str, backend: Backend = KERAS) -> RegisteredModel:
    """Load a version by its number.

    Raises:
        InputError: The version does not exist, its files cannot be loaded, or the backend cannot run it.
    """
    return _load(_find_number(name, model_version), backend)


def read_classes(name: str, version_or_alias: str | int) -> tuple[str, list[str]]:
    """Return the version number and the class names of a registered version, without loading the network.

    Raises:
        InputError: The version does not exist, or its files cannot be read.
    """
    found = _find_version(name, str(version_or_alias))
    with _reading(found):
        return str(found.version), list(_read_config(found).calibration.class_names)


def list_versions() -> list[dict[str, Any]]:
    """Return name, version and aliases of every registered version, by name, the newest version first."""
    client = mlflow.MlflowClient()
    with tracking.raise_unavailable():
        found = client.search_model_versions()  # without aliases
        aliases = {name: client.get_registered_model(name).aliases for name in {one.name for one in found}}
    found.sort(key=lambda one: (one.name, -int(one.version)))
    return [
        {
            "name": one.name,
            "version": str(one.version),
            "aliases": [alias for alias, number in aliases[one.name].items() if str(number) == str(one.version)],
        }
        for one in found
    ]


def read_tags(name: str, model_version: str) -> dict[str, str]:
    """Return the tags of a version."""
    return dict(mlflow.MlflowClient().get_model_version(name, model_version).tags)


def read_parameter(model: RegisteredModel, name: str) -> str | None:
    """Return a parameter of the run that registered the model; None if it is not recorded."""
    client = mlflow.MlflowClient()
    try:
        run = client.get_run(str(client.get_model_version(model.name, model.version).run_id))
    except MlflowException:  # the run was deleted
        return None
    return run.data.params.get(name)


def record_use(model: RegisteredModel) -> None:
    """Tag the current run with the model that it uses."""
    tracking.set_tags({"model_name": model.name, "model_version": model.version, "model_backend": model.backend})


def set_alias(
    name: str, model_version: str, decision: Decision, compared: str | None, metrics: dict[str, float], images: int
) -> Decision:
    """Set the alias that was decided for a version, and store the decision and the main test metrics as tags.

    The tag ``gate`` names the failed checks. The reason of the decision becomes the description of the version.
    ``compared`` is the number of the champion's version at the time of the comparison, None without a champion.
    ``images`` is the number of images in the splits.

    Returns:
        The applied decision, which differs from ``decision`` if the champion has changed since the comparison.
    """
    tags = {key: f"{metrics[key]:.6g}" for key in tracking.MAIN_METRICS if key in metrics}
    tags |= {"images": str(images), COMPARED_TAG: compared or ""}
    with tracking.raise_unavailable():
        _describe_decision(name, model_version, decision, tags)
        champion = _find_alias(name, CHAMPION)  # as late as possible, because other runs may change it
        current = None if champion is None else str(champion.version)
        # a resumed run may have made this version the champion already
        applied = decision if current == model_version else reconsider(decision, compared, current)
        if applied != decision:
            _describe_decision(name, model_version, applied, {})
        mlflow.MlflowClient().set_registered_model_alias(name, applied.alias, model_version)
        challenger = _find_alias(name, CHALLENGER)
        if applied.promoted and challenger is not None and str(challenger.version) == model_version:
            mlflow.MlflowClient().delete_registered_model_alias(name, CHALLENGER)
    return applied


def _load(found: ModelVersion, backend: Backend = KERAS) -> RegisteredModel:
    """Load the archive or exported file of a version, but do not run the version's code, which may be unsafe."""
    name, number = str(found.name), str(found.version)
    chosen, network = load_exported(found, backend)
    with _reading(found):
        if network is None:
            folder = Path(mlflow.artifacts.download_artifacts(_uri(found)))
            classifier = load_classifier(folder, found.tags.get(ARCHIVE_TAG), found.tags.get(CONFIG_TAG))
        else:
            config = _read_config(found)
            classifier = Classifier(network, config.transform, config.calibration)
    return RegisteredModel(name, number, classifier, chosen)


def _uri(found: ModelVersion) -> str:
    return f"models:/{found.name}/{found.version}/artifacts/{_FOLDER}"


def _read_config(found: ModelVersion) -> ClassifierConfig:
    file = Path(mlflow.artifacts.download_artifacts(f"{_uri(found)}/{CONFIG_FILE}"))
    return ClassifierConfig.read(file, found.tags.get(CONFIG_TAG))


@contextmanager
def _reading(found: ModelVersion) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a moved, emptied or foreign archive raises errors of many kinds
        raise InputError(
            f"registry: version {found.version} of '{found.name}' cannot be loaded ({error}); restore its files, or "
            "choose another version (if the champion is broken, remove its alias)"
        ) from error


def _find_version(name: str, version_or_alias: str) -> ModelVersion:
    if not version_or_alias.isdecimal():
        found = _find_alias(name, version_or_alias)
        if found is None:
            raise InputError(
                f"registry: '{name}' has no version with the alias '{version_or_alias}'; train and register a version "
                "with `kedro run`, or choose another alias or a version number"
            )
        return found
    return _find_number(name, version_or_alias)


def _find_number(name: str, number: str) -> ModelVersion:
    try:
        return mlflow.MlflowClient().get_model_version(name, number)
    except MlflowException as error:
        if error.error_code in _NOT_FOUND:
            raise InputError(f"registry: '{name}' has no version {number}; MLflow lists the versions") from error
        raise


def _find_alias(name: str, alias: str) -> ModelVersion | None:
    try:
        with tracking.raise_unavailable():
            return mlflow.MlflowClient().get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in _NOT_FOUND:
            return None
        raise


def _find_versions(name: str, tag: str, value: str) -> list[ModelVersion]:
    """Return the versions with this tag, the oldest first."""
    with tracking.raise_unavailable():
        found = mlflow.MlflowClient().search_model_versions(f"tags.{tag} = '{value}'")
    return sorted((one for one in found if one.name == name), key=lambda one: int(one.version))


def _find_registered(
    versions: list[ModelVersion], exposure: str, calibration: Calibration, transform: Transform
) -> str | None:
    """Return the number of the version with this exposure digest, calibration and transform, or None."""
    for found in versions:
        try:
            known = _load(found).classifier
        except InputError:  # incomplete files
            continue
        same_config = known.transform == transform and known.calibration.to_dict() == calibration.to_dict()
        if same_config and found.tags.get(EXPOSURE_TAG) == exposure:
            return str(found.version)
    return None


def _weights_digest(model: Any) -> str:
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(str(weight.shape).encode() + weight.tobytes())
    return digest.hexdigest()


def _base64_png(pixels: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def _describe_decision(name: str, model_version: str, decision: Decision, tags: dict[str, str]) -> None:
    client = mlflow.MlflowClient()
    failed = [check.name for check in decision.checks if check.status == "failed"]
    tags |= {"gate": f"failed: {', '.join(failed)}" if failed else "passed", "gate.policy": decision.policy}
    tags |= {"alias_at_registration": decision.alias}
    for key, value in tags.items():
        client.set_model_version_tag(name, model_version, key, value)
    client.update_model_version(name, model_version, decision.reason)
