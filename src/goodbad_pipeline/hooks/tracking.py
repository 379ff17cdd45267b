"""What happens around every run: parameters are checked first, and MLflow is told what the run was.

MLflow hooks are kedro-mlflow's own, with these rules added: a local store sits at the project's root whatever the
working directory, every leaf parameter is a row of its own, the run is named after pipeline and network, and it carries
the commit it ran on and the digest of the labels it saw.
"""

import json
import logging
from os.path import relpath
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import pandas as pd
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro_mlflow.config.kedro_mlflow_config import KedroMlflowConfig
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook
from pydantic import BaseModel

from goodbad_pipeline import tracking
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.hooks.resume import find_interrupted_run, forget_finished
from goodbad_pipeline.network_factory import network_label
from goodbad_pipeline.params import Group, ModelParams, rename_parameters, validate_parameters
from goodbad_pipeline.secrecy import hide_secrets
from goodbad_pipeline.tracking.provenance import git_state, labels_digest, package_versions
from goodbad_pipeline.tracking.run_record import PARAMETERS_FILE, parameters_to_repeat
from goodbad_pipeline.training.stopping import Stopped

logger = logging.getLogger(__name__)

FOUND = {"network": "network", "replay.network": "network", "tuning_network": "network", "tuned_values": "best"}
RESULTS = {"report": "Report", "predictions_table": "Predictions"}  # what a run is made for
REPLAY = "replay"
FOLLOW = "follow"  # another process logs to MLflow
TELL = "`kedro send-spool`, tells it"
SCHEMA_ROWS = 1000
LABEL_TABLES = ("labels", "splits", "development")


class TrackingHooks(MlflowHook):
    """kedro-mlflow's hooks, and what is ours; all that is logged goes through :mod:`goodbad_pipeline.tracking`."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Set MLflow up; a fresh local store is made by one process at a time."""
        root = Path(context.project_path)
        raw = context.config_loader["parameters"]
        settings = tracking.anchor_store(context.config_loader["mlflow"], root)
        context.config_loader["mlflow"] = settings
        uri = settings["server"]["mlflow_tracking_uri"]
        self._offline = (raw.get("tracking") or {}).get("offline") is True
        if self._offline:
            self._set_up_offline(context, settings)
        else:
            with tracking.first_use(uri), tracking.answering(uri):
                super().after_context_created(context)
        self._project_path, self._uri = root, uri
        self._labels_logged = False
        self._node_parameters: dict[str, Any] = {}
        self._artifacts: dict[str, Any] = {}
        self._replays = (raw.get("replay") or {}).get("run_id")
        if self._replays is not None:
            raw = {**raw, **rename_parameters(parameters_to_repeat(self._replays))}
            context.config_loader["parameters"] = raw
        self._parameters = validate_parameters(raw)

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Start the run under a telling name, or go on with the one that was cut off; tag it with the commit."""
        names = run_params.get("pipeline_names") or ["__default__"]
        if self._replays is not None and names != [REPLAY]:
            raise InputError(f"replay.run_id: goes with --pipeline={REPLAY} and no other, got {', '.join(names)}")
        if names == [FOLLOW]:
            self._is_mlflow_enabled = False
            return
        asked = {name.removeprefix("params:").partition(".")[0] for name in pipeline.inputs()}
        used = {name: group for name, group in self._parameters.items() if name in asked}
        name = run_name("+".join(names), used.get("model") if "params:model" in pipeline.inputs() else None)
        spool = tracking.Spool(self._project_path / tracking.FOLDER, self._uri, offline=self._offline)
        shown = hide_secrets(run_params)  # they become tags
        if self._offline:
            self._begin_offline(spool, name, shown)
        else:
            with tracking.answering(self._uri):
                self._begin(spool, name, shown, pipeline, catalog)
        if tracking.current_run() is None:  # mlflow.yml switches tracking off for this pipeline
            return
        self._artifacts = _take_over_artifacts(pipeline, catalog)
        tracking.set_tags(git_state(self._project_path) | package_versions() | tracking.process_tags())
        # Typed values, to run again from; what is a secret was made stars by its type.
        _log_values({name: group.model_dump(mode="json") for name, group in used.items()}, PARAMETERS_FILE)

    def _set_up_offline(self, context: KedroContext, settings: dict[str, Any]) -> None:
        """What kedro-mlflow does, but for asking the server."""
        self._already_active_mlflow = False
        self.mlflow_config = KedroMlflowConfig.model_validate(settings)
        context.__setattr__("mlflow", self.mlflow_config)
        mlflow.set_tracking_uri(settings["server"]["mlflow_tracking_uri"])

    def _begin_offline(self, spool: tracking.Spool, name: str, run_params: dict[str, Any]) -> None:
        tracked = self.mlflow_config.tracking
        self._is_mlflow_enabled, self.run_id = True, None
        self.flatten, self.sep = tracked.params.dict_params.flatten, tracked.params.dict_params.sep
        creation = tracked.experiment.create_experiment_kwargs.model_dump()
        tags = {key: str(value) for key, value in run_params.items() if value}
        tracking.begin(spool, tracking.start_offline(spool, tracked.experiment.name, creation, name, tags))
        logger.info("Tracking is offline: what the run logs waits in %s", self._project_path / tracking.FOLDER)

    def _begin(
        self,
        spool: tracking.Spool,
        name: str,
        run_params: dict[str, Any],
        pipeline: Pipeline,
        catalog: DataCatalog,
    ) -> None:
        told, waiting = tracking.replay(self._project_path / tracking.FOLDER, self._uri)
        if told or waiting:
            logger.info("Of earlier runs, %d things that had waited were told MLflow; %d wait", told, waiting)
        settings = self.mlflow_config.tracking
        settings.run.name = name
        run = None if settings.run.id else find_interrupted_run(pipeline, catalog, self._parameters)
        if not self._already_active_mlflow:  # or else the experiment is somebody's own
            tracking.close_stale_runs(settings.experiment._experiment.experiment_id)
        if run is not None:
            settings.run.id, settings.run.name = run.info.run_id, run.info.run_name
            tracking.forget_end(run)
            logger.info("Going on with the MLflow run '%s' (%s)", run.info.run_name, run.info.run_id)
        with tracking.marked_runs():
            super().before_pipeline_run(run_params, pipeline, catalog)
        if self.run_id is not None:
            tracking.begin(spool, self.run_id)
        self.run_id = None  # or the plugin would ask the server for the run before every node

    @hook_impl
    def before_node_run(self, node: Node, catalog: DataCatalog, inputs: dict[str, Any], is_async: bool) -> None:
        """Log the node's parameters, typed groups as plain nested values."""
        plain = {name: value.model_dump() if isinstance(value, BaseModel) else value for name, value in inputs.items()}
        self._node_parameters = {}
        super().before_node_run(node, catalog, plain, is_async)
        if self._node_parameters:
            tracking.log_params(self._node_parameters)

    def _log_param(self, name: str, value: Any) -> None:
        """Gather what the plugin would log one by one."""
        self._node_parameters[name] = value

    @hook_impl
    def after_node_run(self, outputs: dict[str, Any]) -> None:
        """Log as parameters what a node found: the best values, or a network, which a budget alone does not say."""
        for name, prefix in FOUND.items():
            if outputs.get(name):
                leaves = pd.json_normalize({prefix: outputs[name]}).iloc[0]
                tracking.log_params({str(leaf): value for leaf, value in leaves.items()})

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:
        """Record, once a run, which labels it saw."""
        is_labels = dataset_name.removeprefix(f"{REPLAY}.") in LABEL_TABLES
        if is_labels and not self._labels_logged and tracking.current_run() is not None:
            self._labels_logged = True
            log_labels(data)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        """Log the file of an artifact."""
        if dataset := self._artifacts.get(dataset_name):
            versioned = getattr(dataset, "_version", None) is not None
            tracking.log_file(Path(dataset._get_load_path() if versioned else dataset._filepath), dataset.artifact_path)

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """End the run and say where to look."""
        run = tracking.current_run()
        waiting = 0
        if self._already_active_mlflow:
            tracking.leave_run()
        else:
            waiting = tracking.end_run("FINISHED")
        forget_finished(catalog, pipeline, run)
        if waiting:
            logger.warning("%d things wait for MLflow at %s; the next run, or %s", waiting, self._uri, TELL)
        elif run is not None:
            name = self.mlflow_config.tracking.run.name
            logger.info("MLflow run '%s' (%s): `make ui`, or `kedro mlflow ui`, to browse", name, run)
        if run is not None:
            logger.info("The pipeline and its tables and figures: `make viz`, or `kedro viz run`")
        for dataset, what in RESULTS.items():
            if found := self._artifacts.get(dataset):
                logger.info("%s: %s", what, relpath(found._filepath, self._project_path))

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """End the run as failed, with the reason as a tag; as killed if somebody asked for it."""
        if tracking.current_run() is None:
            return
        if isinstance(error, Stopped):
            tracking.set_tags({tracking.STOPPED: str(error)[:500]})
        else:
            tracking.set_tags({tracking.FAILURE: f"{type(error).__name__}: {error}"[:500]})
        tracking.end_run(tracking.KILLED if isinstance(error, Stopped) else "FAILED")


def run_name(pipeline: str, model: Group | None) -> str:
    """Name a run after its pipeline, family and φ (or variant, or that a budget decides)."""
    if not isinstance(model, ModelParams):
        return pipeline
    return f"{pipeline} {network_label(model)}"


def log_labels(table: pd.DataFrame) -> None:
    """Log the labels as an input of the run, under the digest of all of their rows."""
    labels = table.drop(columns="split", errors="ignore")
    # MLflow looks at every cell to tell the types of columns, which takes minutes and a gigabyte for a million rows.
    few = pd.concat([labels.head(SCHEMA_ROWS), labels[labels.isna().any(axis=1)].head(SCHEMA_ROWS)])
    dataset = mlflow.data.from_pandas(few, name="labels", targets="label", digest=labels_digest(labels)[:16])
    profile = json.dumps({"num_rows": len(labels), "num_elements": labels.size})
    tracking.log_input(dataset.to_dict() | {"profile": profile}, context="labels")


def _log_values(values: dict[str, Any], name: str) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder, name)
        file.write_text(json.dumps(values, indent=2), encoding="utf-8")
        tracking.log_file(file)


def _take_over_artifacts(pipeline: Pipeline, catalog: DataCatalog) -> dict[str, Any]:
    """The pipeline's artifacts, which no longer log themselves: that would fail where MLflow does not answer."""
    made: dict[str, Any] = {name: catalog.get(name) for name in pipeline.all_outputs() if name in catalog}
    artifacts = {name: dataset for name, dataset in made.items() if hasattr(dataset, "_logging_activated")}
    for dataset in artifacts.values():
        dataset._logging_activated = False
    return artifacts
