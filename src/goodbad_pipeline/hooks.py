"""What happens around every run: parameters are checked first, and MLflow is told what the run was.

MLflow hooks are kedro-mlflow's own, with these rules added: a local store sits at the project's root whatever the
working directory, every leaf parameter is a row of its own, the run is named after pipeline and network, and it carries
the commit it ran on and the digest of the labels it saw.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from filelock import FileLock
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook
from pydantic import BaseModel

from goodbad_pipeline.continuing import find_interrupted_run, forget_finished
from goodbad_pipeline.efficientnet.scaling import warn_of_product
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.interruption import KILLED
from goodbad_pipeline.params import Group, ModelParams, TrainingParams, anchor_paths, validate_parameters
from goodbad_pipeline.provenance import git_state, labels_digest, package_versions
from goodbad_pipeline.runs import PARAMETERS_FILE, parameters_to_repeat
from goodbad_pipeline.training.stopping import Stopped

logger = logging.getLogger(__name__)

SQLITE = "sqlite:///"
NETWORK = "network"
PICTURES = {"pixels", "pixel_cache"}  # of a pipeline that trains
REPLAY = "replay"
LABEL_TABLES = ("labels", "splits")


class CheckHooks:
    """Finds what would end the run before it begins."""

    def __init__(self) -> None:
        self.parameters: dict[str, Group] = {}

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Check every parameter, and let relative paths start at the project's root."""
        raw = anchor_paths(context.config_loader["parameters"], Path(context.project_path))
        self.parameters = validate_parameters(raw)
        context.config_loader["parameters"] = raw

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Check that stored inputs are there, and the GPU if one is required; warn of odd coefficients, once a run."""
        stored = (name for name in sorted(pipeline.inputs()) if not name.startswith("params:"))
        missing = [name for name in stored if not catalog.exists(name)]
        if missing:
            raise InputError(
                f"{', '.join(missing)}: this pipeline starts from what an earlier one stored, and there is none; "
                "run --pipeline=data"
            )
        model = self.parameters.get("model")
        if isinstance(model, ModelParams) and {"params:model", "params:model.coefficients"} & pipeline.inputs():
            warn_of_product(model.coefficients.constants)
        training = self.parameters.get("training")
        made = {name.removeprefix(f"{REPLAY}.") for name in pipeline.datasets()}
        trains = "params:training" in pipeline.inputs() and PICTURES & made
        if isinstance(training, TrainingParams) and training.require_gpu and trains:
            from goodbad_pipeline.training.devices import require_gpu  # noqa: PLC0415 - starts the backend

            require_gpu()


class TrackingHooks(MlflowHook):
    """kedro-mlflow's hooks, and what is ours."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Set MLflow up; a fresh local store is made by one process at a time."""
        root = Path(context.project_path)
        settings = anchor_store(context.config_loader["mlflow"], root)
        context.config_loader["mlflow"] = settings
        with _first_use(settings["server"]["mlflow_tracking_uri"]):
            super().after_context_created(context)
        self._project_path = root
        self._labels_logged = False
        raw = context.config_loader["parameters"]
        self._replays = (raw.get("replay") or {}).get("run_id")
        if self._replays is not None:
            raw = {**raw, **parameters_to_repeat(self._replays)}
            context.config_loader["parameters"] = raw
        self._parameters = validate_parameters(raw)

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Start the run under a telling name, or go on with the one that was cut off; tag it with the commit."""
        names = run_params.get("pipeline_names") or ["__default__"]
        if self._replays is not None and names != [REPLAY]:
            raise InputError(f"replay.run_id: goes with --pipeline={REPLAY} and no other, got {', '.join(names)}")
        asked = {name.removeprefix("params:").partition(".")[0] for name in pipeline.inputs()}
        used = {name: group for name, group in self._parameters.items() if name in asked}
        settings = self.mlflow_config.tracking.run
        settings.name = run_name("+".join(names), used.get("model") if "params:model" in pipeline.inputs() else None)
        if settings.id is None and (run := find_interrupted_run(pipeline, catalog, self._parameters)):
            settings.id, settings.name = run.info.run_id, run.info.run_name
            logger.info("Going on with the MLflow run '%s' (%s)", run.info.run_name, run.info.run_id)
        super().before_pipeline_run(run_params, pipeline, catalog)
        mlflow.set_tags(git_state(self._project_path) | package_versions())
        # Typed values, to run again from; what is a secret was made stars by its type.
        mlflow.log_dict({name: group.model_dump(mode="json") for name, group in used.items()}, PARAMETERS_FILE)

    @hook_impl
    def before_node_run(self, node: Node, catalog: DataCatalog, inputs: dict[str, Any], is_async: bool) -> None:
        """Log the node's parameters, typed groups as plain nested values."""
        plain = {name: value.model_dump() if isinstance(value, BaseModel) else value for name, value in inputs.items()}
        super().before_node_run(node, catalog, plain, is_async)

    @hook_impl
    def after_node_run(self, outputs: dict[str, Any]) -> None:
        """Log the network that a node chose: under a budget no parameter says which it is."""
        network = outputs.get(NETWORK) or outputs.get(f"{REPLAY}.{NETWORK}")
        if network and mlflow.active_run() is not None:
            leaves = pd.json_normalize({NETWORK: network}).iloc[0]
            mlflow.log_params({str(name): value for name, value in leaves.items()})

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:
        """Record, once a run, which labels it saw."""
        is_labels = dataset_name.removeprefix(f"{REPLAY}.") in LABEL_TABLES
        if is_labels and not self._labels_logged and mlflow.active_run() is not None:
            self._labels_logged = True
            log_labels(data)

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """End the run and say where to look."""
        run = mlflow.active_run()
        super().after_pipeline_run(run_params, pipeline, catalog)
        forget_finished(catalog, pipeline, None if run is None else run.info.run_id)
        if run is not None:
            logger.info("MLflow run '%s' (%s): `kedro mlflow ui` to browse", run.info.run_name, run.info.run_id)
            logger.info("The pipeline and its tables and figures: `kedro viz run`")

    @hook_impl
    def on_pipeline_error(
        self, error: Exception, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """End the run as failed, with the reason as a tag; as killed if somebody asked for it."""
        if mlflow.active_run() is None:  # the node's thread took its run along, or there never was one
            return
        if isinstance(error, Stopped):
            mlflow.set_tag("stopped", str(error)[:500])
            mlflow.end_run(KILLED)
            return
        mlflow.set_tag("failure", f"{type(error).__name__}: {error}"[:500])
        super().on_pipeline_error(error, run_params, pipeline, catalog)


def run_name(pipeline: str, model: Group | None) -> str:
    """Name a run after its pipeline, family and φ (or variant, or that a budget decides)."""
    if not isinstance(model, ModelParams):
        return pipeline
    return f"{pipeline} {model.label}"


def log_labels(table: pd.DataFrame) -> None:
    """Log the labels as an input of the active run, under the digest of all of their rows."""
    labels = table.drop(columns="split", errors="ignore")
    dataset = mlflow.data.from_pandas(labels, name="labels", targets="label", digest=labels_digest(labels)[:16])
    mlflow.log_input(dataset, context="labels")


def anchor_store(settings: dict[str, Any], root: Path) -> dict[str, Any]:
    """Let the user's MLFLOW_TRACKING_URI win, a relative sqlite file start at the root, artifacts lie beside it."""
    server, tracking = dict(settings["server"]), dict(settings["tracking"])
    uri = os.environ.get("MLFLOW_TRACKING_URI") or server["mlflow_tracking_uri"]
    if uri.startswith(SQLITE):
        database = root / uri.removeprefix(SQLITE)
        uri = f"{SQLITE}{database}"
        experiment = {**tracking["experiment"]}
        creation = experiment.get("create_experiment_kwargs") or {}
        artifacts = str(database.parent / "mlartifacts")
        experiment["create_experiment_kwargs"] = {"artifact_location": artifacts, **creation}
        tracking["experiment"] = experiment
    server["mlflow_tracking_uri"] = uri
    return {**settings, "server": server, "tracking": tracking}


@contextmanager
def _first_use(uri: str) -> Iterator[None]:
    """Hold a lock beside a local database: several processes that create its tables at once break it."""
    if not uri.startswith(SQLITE):
        yield
        return
    with FileLock(f"{uri.removeprefix(SQLITE)}.lock"):
        yield
