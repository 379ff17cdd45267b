"""Exported files of a registered version, stored in the MLflow run of that version."""

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
_ADVICE = "run --pipeline=export again, or set predict.backend=keras"


class ExportUnavailable(InputError):
    """Raised when exported files cannot be read, for example because they were deleted."""


def record_exports(name: str, model_version: str, measured: Exports, files: Path) -> str:
    """Store exported files in the run of a version, and return their MLflow URI.

    ``files`` is the local folder of the files. The folder in the run is named after a digest of the content. The tag
    that names this folder is set last, so an interrupted export leaves the version unchanged.
    """
    client = mlflow.MlflowClient()
    exported = {backend: files / RUNTIMES[backend].file for backend in measured.keys() & RUNTIMES.keys()}
    listing = {backend: dict(results) for backend, results in measured.items()}
    for backend, file in exported.items():
        listing[backend]["sha256"] = file_digest(file)
    text = json.dumps(listing, indent=2, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    run = client.get_model_version(name, model_version).run_id
    with TemporaryDirectory() as temporary:
        for file in exported.values():
            shutil.copy(file, temporary)
        Path(temporary, _LISTING).write_text(text)
        client.log_artifacts(run, temporary, f"{_FOLDER}/{digest[:12]}")
    client.set_model_version_tag(name, model_version, EXPORTS_TAG, digest)
    return f"runs:/{run}/{_FOLDER}/{digest[:12]}"


def load_exported(found: ModelVersion, backend: Backend) -> tuple[str, Network | None]:
    """Choose the backend for a version; return the name of the backend and the exported network (None for Keras).

    If exported files cannot be read, the backend ``auto`` falls back to Keras, and any other backend raises an error.
    """
    if backend == KERAS:
        return KERAS, None
    try:
        exports = _read_listing(found)
        chosen = choose_backend(backend, exports, str(found.name), str(found.version))
        return chosen, None if chosen == KERAS else _load(found, chosen, exports)
    except ExportUnavailable as error:
        if backend != "auto":
            raise
        logger.warning("%s; using Keras instead", error)
        return KERAS, None


def _read_listing(found: ModelVersion) -> Exports:
    """Return the results of the latest export, or an empty mapping without an export."""
    if EXPORTS_TAG not in found.tags:
        return {}
    content = _download(found, _LISTING).read_bytes()
    if hashlib.sha256(content).hexdigest() != found.tags[EXPORTS_TAG]:
        raise InputError(f"{_uri(found)}/{_LISTING}: this list of exports was changed after the export; {_ADVICE}")
    return json.loads(content)


def _load(found: ModelVersion, backend: str, exports: Exports) -> Network:
    file = _download(found, RUNTIMES[backend].file)
    try:
        return load_network(backend, file.parent, exports[backend]["sha256"])
    except InputError as error:
        raise InputError(f"{error}; {_ADVICE}") from error


def _download(found: ModelVersion, name: str) -> Path:
    uri = f"{_uri(found)}/{name}"
    try:
        return Path(mlflow.artifacts.download_artifacts(uri))
    except (OSError, MlflowException) as error:
        raise ExportUnavailable(f"{uri}: cannot be read ({error}); {_ADVICE}") from error


def _uri(found: ModelVersion) -> str:
    return f"runs:/{found.run_id}/{_FOLDER}/{found.tags[EXPORTS_TAG][:12]}"
