"""The files that were exported from a registered version: stored in the run it came from, and found there again."""

import hashlib
import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.serving.archive import file_digest
from goodbad_pipeline.serving.choosing import Exports
from goodbad_pipeline.serving.runtimes import RUNTIMES, Network, load_network

EXPORTS_TAG = "exports_sha256"
_FOLDER, _LISTING = "exports", "exports.json"


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


def read_exports(found: ModelVersion) -> Exports:
    """What :func:`record_exports` was told last; empty where it never was.

    Raises:
        InputError: It cannot be read, or was changed.
    """
    if EXPORTS_TAG not in found.tags:
        return {}
    uri = f"{_address(found)}/{_LISTING}"
    try:
        text = Path(mlflow.artifacts.download_artifacts(uri)).read_text()
    except (OSError, MlflowException) as error:
        raise InputError(f"{uri}: cannot be read ({error}); run --pipeline=export again") from error
    if hashlib.sha256(text.encode()).hexdigest() != found.tags[EXPORTS_TAG]:
        raise InputError(f"{uri}: was changed since it was exported; run --pipeline=export again")
    return json.loads(text)


def load_export(found: ModelVersion, backend: str, exports: Exports) -> Network:
    """Load what :func:`record_exports` stored for one of `RUNTIMES`, once its hash is checked."""
    file = Path(mlflow.artifacts.download_artifacts(f"{_address(found)}/{RUNTIMES[backend].file}"))
    return load_network(backend, file.parent, exports[backend]["sha256"])


def _address(found: ModelVersion) -> str:
    return f"runs:/{found.run_id}/{_FOLDER}/{found.tags[EXPORTS_TAG][:12]}"
