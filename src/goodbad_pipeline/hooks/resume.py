"""Which MLflow run a training, or a search, belongs to that was cut off: it is continued, not doubled."""

import logging
from collections.abc import Mapping
from typing import Any

import mlflow
import pandas as pd
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from mlflow.entities import Run, RunStatus
from mlflow.exceptions import MlflowException

from goodbad_pipeline.experiments.tuning import tuning_config
from goodbad_pipeline.params import (
    Group,
    ImageParams,
    ModelParams,
    TrainingParams,
    TuneParams,
    decisive_parameters,
)
from goodbad_pipeline.training.checkpoints import CheckpointStore
from goodbad_pipeline.training.config_hash import fingerprint, training_config

logger = logging.getLogger(__name__)

CHECKPOINTS, SPLITS = "checkpoints", "splits"
STUDIES, DEVELOPMENT = "studies", "development"


def find_interrupted_run(pipeline: Pipeline, catalog: DataCatalog, parameters: Mapping[str, Group]) -> Run | None:
    """Find the run whose training or search this pipeline will go on with, None where it will begin one.

    Only a pipeline that starts from stored splits can tell beforehand that nothing has changed. Where a parameter that
    the run has on record differs now, even one that training does not depend on, the run stays as it is and a new one
    begins; epochs from before the cut are told to that.
    """
    model, training, images = (parameters.get(name) for name in ("model", "training", "images"))
    if not (
        isinstance(model, ModelParams) and isinstance(training, TrainingParams) and isinstance(images, ImageParams)
    ):
        return None
    if model.budget and model.budget.max_ms_per_image:
        return None  # a budget of time, measured again, may buy another network
    owner, tune = None, parameters.get("tune")
    if {CHECKPOINTS, SPLITS} <= pipeline.inputs():
        owner = _owner_of_training(catalog, model, training, images)
    elif {STUDIES, DEVELOPMENT} <= pipeline.inputs() and isinstance(tune, TuneParams):
        facts = tuning_config(model, training, images, tune, catalog.load(DEVELOPMENT))
        owner = catalog.load(STUDIES).find_owner(facts)
    if owner is None:
        return None
    return _open_run(owner, {name: group for name, group in parameters.items() if _used(name, pipeline)})


def _owner_of_training(
    catalog: DataCatalog, model: ModelParams, training: TrainingParams, images: ImageParams
) -> str | None:
    """The run that the training of these parameters belongs to; of several, the one that was interrupted last."""
    states = list(_store(catalog).states()) if training.checkpoint.resume else []
    if not states:
        return None
    facts = training_config(decisive_parameters(model, training, images), catalog.load(SPLITS))
    same = (state for state in states if all(state["facts"].get(name) == value for name, value in facts.items()))
    return next((state["owner"] for state in same), None)


def forget_finished(catalog: DataCatalog, pipeline: Pipeline, run_id: str | None) -> None:
    """Remove the checkpoints of a training whose run has come to its end."""
    if CHECKPOINTS not in pipeline.inputs():
        return
    store = _store(catalog)
    last = store.last_state()
    if last is not None and last["owner"] == run_id:
        store.forget(fingerprint(last["facts"]))


def _store(catalog: DataCatalog) -> CheckpointStore:
    return catalog.load(CHECKPOINTS)


def _used(group: str, pipeline: Pipeline) -> bool:
    return f"params:{group}" in pipeline.inputs()


def _open_run(run_id: str, parameters: Mapping[str, Group]) -> Run | None:
    """The run, if it is there, did not finish, and its record agrees with these parameters."""
    try:
        run = mlflow.MlflowClient().get_run(run_id)
    except MlflowException:
        return None
    if run.info.status == RunStatus.to_string(RunStatus.FINISHED) or run.info.lifecycle_stage != "active":
        return None
    changed = [
        name for name, value in _leaves(parameters).items() if run.data.params.get(name, str(value)) != str(value)
    ]
    if changed:
        logger.info("A new MLflow run begins: the one that was cut off has another %s", ", ".join(changed))
        return None
    return run


def _leaves(parameters: Mapping[str, Group]) -> dict[str, Any]:
    """Parameters as they are logged: a row a leaf."""
    plain = {name: group.model_dump() for name, group in parameters.items()}
    return {str(name): value for name, value in pd.json_normalize(plain).iloc[0].items()}
