"""The one file that logs and registers models with MLflow, and loads them back."""

import base64
import io
import logging
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

CHAMPION = "champion"
DIGEST_TAG, FACTS_TAG = "archive_sha256", "facts_sha256"
SEEN_TAG, SEEN_FILE = "seen_sha256", "seen.npz"
"""What it was trained and selected on, beside the archive; see :mod:`goodbad_pipeline.registry.lineage`."""
BEFORE_TAG = "champion_before"  # the version that this one was compared with; empty where there was none
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
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
    """A version of the registry with what it takes to use it.

    Attributes:
        name: The registered model.
        version: Its number.
        classifier: The network, what an image goes through before it, and how its answers are read.
        backend: What runs the network: ``keras`` or one of `RUNTIMES`.
    """

    name: str
    version: str
    classifier: Classifier
    backend: str = KERAS

    @property
    def model(self) -> Any:
        """The Keras model, or what has the same ``predict_on_batch``."""
        return self.classifier.model

    @property
    def class_names(self) -> list[str]:
        """Classes in the order of its outputs."""
        return list(self.classifier.calibration.class_names)

    @property
    def transform(self) -> Transform:
        """What an image goes through before it."""
        return self.classifier.transform


def log_model(
    model: Any, name: str, calibration: Calibration, transform: Transform, example: np.ndarray, seen: Exposure = UNKNOWN
) -> str:
    """Log a Keras model to the run under way and register it, as a pyfunc that takes files.

    A run that was cut off after it registered this very model, and goes on now, has its version already.

    Args:
        model: Pixels (n, side, side, 3), 0–255, to probabilities (n, classes).
        name: Registered model.
        calibration: Classes in the order of the outputs, and how these are read.
        transform: What an image goes through before the model.
        example: One image, uint8 of shape (side, side, 3).
        seen: What it was trained and selected on.

    Returns:
        The version's number.

    Raises:
        TrackingUnavailable: MLflow does not answer, or does not know the run yet.
    """
    number = _find_registered(model, name, calibration, transform)
    if number is not None:
        logger.info("%s version %s was registered before this run was cut off", name, number)
        return number
    with TemporaryDirectory() as temporary:
        folder = Path(temporary, _FOLDER)
        folder.mkdir()
        model.save(folder / ARCHIVE_FILE)
        digest = file_digest(folder / ARCHIVE_FILE)
        ClassifierConfig(transform, calibration, digest).write(folder / CONFIG_FILE)
        seen.write(Path(temporary, SEEN_FILE))
        files = {FACTS_TAG: folder / CONFIG_FILE, SEEN_TAG: Path(temporary, SEEN_FILE)}
        tags = {DIGEST_TAG: digest} | {tag: file_digest(file) for tag, file in files.items()}
        bundle = write_bundle(Path(temporary, "code"))
        with tracking.raise_unavailable(), tracking.activate_run():
            info = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(bundle.script),
                artifacts={"model": str(folder), "seen": str(files[SEEN_TAG])},
                code_paths=[str(bundle.package)],
                pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
                signature=_SIGNATURE,
                input_example=pd.DataFrame({"image": [_base64_png(example)]}),
            )
            return str(mlflow.register_model(info.model_uri, name, tags=tags).version)


def _find_registered(model: Any, name: str, calibration: Calibration, transform: Transform) -> str | None:
    """Find the version that the run under way has registered, if it computes the same."""
    run = tracking.current_run()
    with tracking.raise_unavailable():
        versions = [] if run is None else mlflow.MlflowClient().search_model_versions(f"run_id = '{run}'")
    for found in versions:
        try:
            known = _load(found).classifier
        except InputError:  # its files are not whole
            continue
        read_alike = known.transform == transform and known.calibration.to_dict() == calibration.to_dict()
        if found.name == name and read_alike and _same_weights(known.model, model):
            return str(found.version)
    return None


def _same_weights(one: Any, other: Any) -> bool:
    weights = one.get_weights(), other.get_weights()
    return len(weights[0]) == len(weights[1]) and all(map(np.array_equal, *weights))


def _base64_png(pixels: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def load_champion(name: str) -> RegisteredModel | None:
    """Load the version with the alias ``champion``; None where there is none.

    To a run that was cut off after its own version had become champion, the champion is the one before.

    Raises:
        InputError: It is registered, but its files cannot be loaded.
        TrackingUnavailable: MLflow does not answer.
    """
    found, run = _find_alias(name, CHAMPION), tracking.current_run()
    if found is not None and run is not None and found.run_id == run:
        before = found.tags.get(BEFORE_TAG)
        return load_version(name, before) if before else None
    return None if found is None else _load(found)


def _find_alias(name: str, alias: str) -> ModelVersion | None:
    try:
        with tracking.raise_unavailable():
            return mlflow.MlflowClient().get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in _ABSENT:
            return None
        raise


def find_model(name: str, wanted: str | int, backend: Backend = KERAS) -> RegisteredModel:
    """Load a version by its number or alias.

    Args:
        name: Registered model.
        wanted: Number or alias.
        backend: What runs it; but for Keras, a file that was exported from it.

    Raises:
        InputError: There is none, its files cannot be loaded, or this backend cannot run it.
    """
    if str(wanted).isdecimal():
        return load_version(name, str(wanted), backend)
    found = _find_alias(name, str(wanted))
    if found is None:
        raise InputError(
            f"registry: '{name}' has no version with the alias '{wanted}'; `kedro run` registers a champion"
        )
    return _load(found, backend)


def record_use(model: RegisteredModel) -> None:
    """Name the model on the run under way, if there is one."""
    used = {"model_name": model.name, "model_version": model.version, "model_backend": model.backend}
    tracking.set_tags(used)


def load_version(name: str, model_version: str, backend: Backend = KERAS) -> RegisteredModel:
    """Load one version.

    Raises:
        InputError: There is none of that number, or its files cannot be loaded.
    """
    try:
        found = mlflow.MlflowClient().get_model_version(name, model_version)
    except MlflowException as error:
        if error.error_code in _ABSENT:
            raise InputError(
                f"registry: there is no version {model_version} of '{name}'; `kedro mlflow ui` shows which there are"
            ) from error
        raise
    return _load(found, backend)


def _load(found: ModelVersion, backend: Backend = KERAS) -> RegisteredModel:
    """Load a version's archive, or a file exported from it, with this project's code; that beside it does not run."""
    name, number = str(found.name), str(found.version)
    chosen, network = load_exported(found, backend)
    uri = f"models:/{name}/{number}/artifacts/{_FOLDER}"
    archive, facts = found.tags.get(DIGEST_TAG), found.tags.get(FACTS_TAG)
    try:
        if network is None:
            classifier = load_classifier(Path(mlflow.artifacts.download_artifacts(uri)), archive, facts)
        else:
            known = ClassifierConfig.read(Path(mlflow.artifacts.download_artifacts(f"{uri}/{CONFIG_FILE}")), facts)
            classifier = Classifier(network, known.transform, known.calibration)
    except Exception as error:  # whatever a moved, emptied or foreign archive raises
        raise InputError(
            f"registry: version {number} of '{name}' cannot be loaded ({error}); restore its files, or choose "
            "another version (the champion's alias can be removed)"
        ) from error
    return RegisteredModel(name, number, classifier, chosen)


def read_tags(name: str, model_version: str) -> dict[str, str]:
    """Return the tags of a version."""
    return dict(mlflow.MlflowClient().get_model_version(name, model_version).tags)


def set_alias(
    name: str, model_version: str, decision: Decision, compared: str | None, metrics: dict[str, float], images: int
) -> Decision:
    """Give a version the alias it earned; reasons, test metrics and the number of images become tags.

    Each check is the tag ``gate.<name>`` (passed, failed or skipped), with a sentence in ``gate.<name>.reason``. The
    reason is the version's description, too, which MLflow shows in its list of versions.

    Args:
        name: Registered model.
        model_version: Its number.
        decision: What was decided.
        compared: The champion's version at that time; None where there was none.
        metrics: Those of the test become tags.
        images: Images it was made from.

    Returns:
        The decision that took effect: another one where the champion has changed since.
    """
    client = mlflow.MlflowClient()
    tags = {key: f"{value:.6g}" for key, value in metrics.items() if key.startswith("test_")}
    tags |= {"images": str(images), BEFORE_TAG: compared or ""}
    with tracking.raise_unavailable():
        _describe_decision(name, model_version, decision, tags)
        champion = _find_alias(name, CHAMPION)  # as late as can be
        now = None if champion is None else str(champion.version)
        taken = decision if now == model_version else reconsider(decision, compared, now)  # or this was decided before
        if taken != decision:
            _describe_decision(name, model_version, taken, {})
        client.set_registered_model_alias(name, taken.alias, model_version)
    return taken


def _describe_decision(name: str, model_version: str, decision: Decision, tags: dict[str, str]) -> None:
    client = mlflow.MlflowClient()
    tags |= {"alias_reason": decision.reason, "alias_at_registration": decision.alias, "gate.policy": decision.policy}
    for check in decision.checks:
        tags |= {f"gate.{check.name}": check.status, f"gate.{check.name}.reason": check.reason}
    for key, value in tags.items():
        client.set_model_version_tag(name, model_version, key, value)
    client.update_model_version(name, model_version, decision.reason)
