"""Find the MLflow run of an interrupted training or search, to resume this MLflow run instead of starting a new one."""

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
from goodbad_pipeline.params import Group, ImageParams, ModelParams, TrainingParams, TuneParams, decisive_parameters
from goodbad_pipeline.training.checkpoints import CheckpointStore
from goodbad_pipeline.training.config_hash import config_hash, training_config

logger = logging.getLogger(__name__)

CHECKPOINTS, SPLITS = "checkpoints", "splits"
STUDIES, DEVELOPMENT = "studies", "development"


def find_interrupted_run(pipeline: Pipeline, catalog: DataCatalog, parameters: Mapping[str, Group]) -> Run | None:
    """Return the MLflow run to resume, whose training or search was interrupted; None to start a new MLflow run.

    A run is resumed only if the pipeline reads stored splits that equal the splits of the run, and no recorded
    parameter of the run has changed. If no changed parameter affects training, the training still continues from its
    checkpoint, but in a new MLflow run, to which the earlier epochs are logged again.
    """
    model, training, images = (parameters.get(name) for name in ("model", "training", "images"))
    if not (
        isinstance(model, ModelParams) and isinstance(training, TrainingParams) and isinstance(images, ImageParams)
    ):
        return None
    if model.budget and model.budget.max_ms_per_image:
        return None  # prediction times are measured again, and the budget may then select another network
    owner, tune = None, parameters.get("tune")
    if {CHECKPOINTS, SPLITS} <= pipeline.inputs():
        owner = _find_training_owner(catalog, model, training, images)
    elif {STUDIES, DEVELOPMENT} <= pipeline.inputs() and isinstance(tune, TuneParams):
        config = tuning_config(model, training, images, tune, catalog.load(DEVELOPMENT))
        owner = catalog.load(STUDIES).find_owner(config)
    if owner is None:
        return None
    used = {name: group for name, group in parameters.items() if f"params:{name}" in pipeline.inputs()}
    return _find_open_run(owner, used)


def remove_finished_checkpoints(catalog: DataCatalog, pipeline: Pipeline, run_id: str | None) -> None:
    """Remove the checkpoints of the trainings that belong to ``run_id``, a run that has finished."""
    if CHECKPOINTS not in pipeline.inputs():
        return
    store: CheckpointStore = catalog.load(CHECKPOINTS)
    for state in list(store.states()):
        if state["owner"] == run_id:
            store.forget(config_hash(state["config"]))


def _find_training_owner(
    catalog: DataCatalog, model: ModelParams, training: TrainingParams, images: ImageParams
) -> str | None:
    """Return the id of the last run that was interrupted while training with these parameters, or None."""
    states = list(catalog.load(CHECKPOINTS).states()) if training.checkpoint.resume else []
    if not states:
        return None
    config = training_config(decisive_parameters(model, training, images), catalog.load(SPLITS))
    same = (state for state in states if all(state["config"].get(name) == value for name, value in config.items()))
    return next((state["owner"] for state in same), None)


def _find_open_run(run_id: str, parameters: Mapping[str, Group]) -> Run | None:
    """Return the run with this id, or None if it is unknown, finished, deleted, or has other recorded parameters."""
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
        logger.info("Starting a new MLflow run, because the interrupted run has other values of %s", ", ".join(changed))
        return None
    return run


def _leaves(parameters: Mapping[str, Group]) -> dict[str, Any]:
    """Return parameters by dotted name, such as ``training.epochs``, the form in which MLflow records parameters."""
    plain = {name: group.model_dump() for name, group in parameters.items()}
    return {str(name): value for name, value in pd.json_normalize(plain).iloc[0].items()}
