"""The files that were exported from a registered version: stored in the run it came from, and found there again."""

import hashlib
import json
import logging
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.serving.archive import file_digest
from goodbad_pipeline.serving.runtimes import KERAS, RUNTIMES, Backend, Exports, Network, choose_backend, load_network

logger = logging.getLogger(__name__)

EXPORTS_TAG = "exports_sha256"
_FOLDER, _LISTING = "exports", "exports.json"
_ADVICE = "run --pipeline=export again, or predict.backend=keras"


class ExportsGoneError(InputError):
    """Files that a version's tag tells of cannot be read: cleared away, as a rule. The version itself may be whole."""


def record_exports(name: str, model_version: str, measured: Exports, files: Path) -> str:
    """Store exported files in the run that a version came from.

    They lie in a folder named after its content, and a tag of the version, set last, says which: an export that is cut
    off changes nothing.

    Args:
        name: Registered model.
        model_version: Its number.
        measured: What was found out about each backend.
        files: Folder of the files of `RUNTIMES`.

    Returns:
        Where they are, as an address that MLflow downloads from.
    """
    client = mlflow.MlflowClient()
    listing = {backend: dict(one) for backend, one in measured.items()}
    for backend in listing.keys() & RUNTIMES.keys():
        listing[backend]["sha256"] = file_digest(files / RUNTIMES[backend].file)
    text = json.dumps(listing, indent=2, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    run = client.get_model_version(name, model_version).run_id
    with TemporaryDirectory() as temporary:
        for backend in listing.keys() & RUNTIMES.keys():
            shutil.copy(files / RUNTIMES[backend].file, temporary)
        Path(temporary, _LISTING).write_text(text)
        client.log_artifacts(run, temporary, f"{_FOLDER}/{digest[:12]}")
    client.set_model_version_tag(name, model_version, EXPORTS_TAG, digest)
    return f"runs:/{run}/{_FOLDER}/{digest[:12]}"


def load_exported(found: ModelVersion, backend: Backend) -> tuple[str, Network | None]:
    """What runs the version and, unless it is Keras, its network; where files are gone, ``auto`` is Keras.

    Raises:
        ExportsGoneError: Files of a backend that was named cannot be read.
        InputError: This backend cannot run it. That says nothing about the version itself.
    """
    if backend == KERAS:
        return KERAS, None
    try:
        exports = _read(found)
        chosen = choose_backend(backend, exports, str(found.version))
        return chosen, None if chosen == KERAS else _load(found, chosen, exports)
    except ExportsGoneError as error:
        if backend != "auto":
            raise
        logger.warning("%s; Keras answers in their place", error)
        return KERAS, None


def _read(found: ModelVersion) -> Exports:
    """What :func:`record_exports` was told last; empty where it never was."""
    if EXPORTS_TAG not in found.tags:
        return {}
    content = _download(found, _LISTING).read_bytes()
    if hashlib.sha256(content).hexdigest() != found.tags[EXPORTS_TAG]:
        raise InputError(f"{_address(found)}/{_LISTING}: was changed since it was exported; {_ADVICE}")
    return json.loads(content)


def _load(found: ModelVersion, backend: str, exports: Exports) -> Network:
    """Load what :func:`record_exports` stored for one of `RUNTIMES`, once its hash is checked."""
    file = _download(found, RUNTIMES[backend].file)
    try:
        return load_network(backend, file.parent, exports[backend]["sha256"])
    except InputError as error:
        raise InputError(f"{error}; {_ADVICE}") from error


def _download(found: ModelVersion, name: str) -> Path:
    uri = f"{_address(found)}/{name}"
    try:
        return Path(mlflow.artifacts.download_artifacts(uri))
    except (OSError, MlflowException) as error:
        raise ExportsGoneError(f"{uri}: cannot be read ({error}); {_ADVICE}") from error


def _address(found: ModelVersion) -> str:
    return f"runs:/{found.run_id}/{_FOLDER}/{found.tags[EXPORTS_TAG][:12]}"
