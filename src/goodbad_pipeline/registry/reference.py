"""References to registered versions, by which processes on several machines load the same version."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import cast

import mlflow

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.registry.exports import EXPORTS_TAG
from goodbad_pipeline.registry.models import RegisteredModel, load_version
from goodbad_pipeline.serving.archive import first_line
from goodbad_pipeline.serving.classifier import Classifier
from goodbad_pipeline.serving.runtimes import KERAS, Backend
from goodbad_pipeline.tracking.store import SQLITE

_loading = Lock()


@dataclass(frozen=True)
class ModelReference:
    """Identifies a loaded version and the backend that runs it."""

    store: str = field(repr=False)  # URI of MLflow's store; may contain a password
    name: str
    version: str
    backend: str
    run_id: str | None  # of the run that registered the version
    exports: str | None  # digest of the exported files; None for Keras

    @classmethod
    def of(cls, model: RegisteredModel) -> "ModelReference":
        """Return the reference to a version in the store of this process."""
        found = mlflow.MlflowClient().get_model_version(model.name, model.version)
        exports = None if model.backend == KERAS else found.tags.get(EXPORTS_TAG)
        return cls(mlflow.get_tracking_uri(), model.name, model.version, model.backend, found.run_id, exports)

    def load(self) -> Classifier:
        """Return the classifier of the version, which each process loads only once.

        Raises:
            InputError: The store or the version cannot be read, or the version number belongs to another model.
        """
        with _loading:
            return _load(self)


@lru_cache(maxsize=1)
def _load(reference: ModelReference) -> Classifier:
    file = Path(reference.store.removeprefix(SQLITE))
    if reference.store.startswith(SQLITE) and not file.is_file():  # MLflow would create it
        raise InputError(
            f"{file}: no such MLflow store; put the project on a disk that all machines share, or use an MLflow server"
        )
    mlflow.set_tracking_uri(reference.store)
    try:
        model = load_version(reference.name, reference.version, cast("Backend", reference.backend))
        loaded = ModelReference.of(model)
    except InputError:
        raise
    except Exception as error:  # the clients of MLflow's stores raise errors of many kinds
        raise InputError(
            f"registry: version {reference.version} of '{reference.name}' cannot be read ({first_line(error)})"
        ) from error
    if loaded != reference:
        raise InputError(
            f"registry: version {reference.version} of '{reference.name}' is another model in this machine's MLflow "
            "store; use one store on all machines"
        )
    return model.classifier
