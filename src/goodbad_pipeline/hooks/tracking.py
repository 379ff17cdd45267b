"""MLflow tracking of each run, on top of kedro-mlflow's hooks.

Each value in a parameter group becomes its own MLflow parameter. A run is named after its data, model and network, and
records the commit, package versions and a digest of its labels. An interrupted run is resumed. Everything is logged
through :mod:`goodbad_pipeline.tracking`, which stores entries in a folder, the outbox, while the server is unavailable.
"""

import json
import logging
from collections.abc import Mapping, Sequence
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
from kedro.utils import is_kedro_project
from kedro_mlflow.config.kedro_mlflow_config import KedroMlflowConfig
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook
from pydantic import BaseModel, ValidationError

from goodbad_pipeline import tracking
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.hooks.checks import FOLLOW
from goodbad_pipeline.hooks.resume import find_interrupted_run, remove_finished_checkpoints
from goodbad_pipeline.images.stores import is_url
from goodbad_pipeline.network_factory import check_networks, network_label
from goodbad_pipeline.params import (
    Group,
    ImageParams,
    ModelParams,
    PredictParams,
    RegistryParams,
    rename_parameters,
    validate_parameters,
)
from goodbad_pipeline.secrecy import hide_secrets
from goodbad_pipeline.tracking import processes, store
from goodbad_pipeline.tracking.run_record import (
    PARAMETERS_FILE,
    git_state,
    labels_digest,
    package_versions,
    read_replay_parameters,
)
from goodbad_pipeline.training.stopping import Stopped

logger = logging.getLogger(__name__)

REPLAY, DEFAULT = "replay", "__default__"
LOGGED_AS_PARAMETERS = {  # datasets whose values are logged as parameters with this prefix
    "network": "network",
    "replayed_run.network": "network",
    "tuning_network": "network",
    "tuned_values": "best",
}
LABEL_TABLES = ("labels", "splits", "development")
RESULTS = ("test_metrics", "registered_model")  # datasets that the last log lines of a run summarise
MAIN_OUTPUTS = {"report": "Report", "predictions_table": "Predictions"}  # files whose paths the last log lines give
SCHEMA_ROWS = 1000
MAX_TAG = 500  # maximum number of characters of an error that are stored as a tag


class TrackingHooks(MlflowHook):
    """Extends kedro-mlflow's hooks, as the docstring of this module describes."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Set up MLflow, under a lock, because only one process at a time can create a local store."""
        root = Path(context.project_path)
        raw = context.config_loader["parameters"]
        settings = store.resolve_store(_checked(context.config_loader["mlflow"]), root)
        context.config_loader["mlflow"] = settings
        uri = settings["server"]["mlflow_tracking_uri"]
        self._offline = (raw.get("tracking") or {}).get("offline") is True
        if self._offline:
            self._set_up_offline(context, settings)
        else:
            with store.lock_store(uri), store.require_server(uri):
                super().after_context_created(context)
        self._project_path, self._uri = root, uri
        self._outbox_folder = root / tracking.OUTBOX_FOLDER
        self._labels_logged = False
        self._node_parameters: dict[str, Any] = {}
        self._artifacts: dict[str, Any] = {}
        self._results: dict[str, Any] = {}
        self._replayed_run = (raw.get("replay") or {}).get("run_id")
        if self._replayed_run is not None:
            raw = {**raw, **rename_parameters(read_replay_parameters(self._replayed_run))}
            context.config_loader["parameters"] = raw
        self._parameters = validate_parameters(raw)
        if self._replayed_run is not None:
            check_networks(self._parameters)

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Start an MLflow run or resume an interrupted one, and record its code version and parameters."""
        names = run_params.get("pipeline_names") or [DEFAULT]
        if self._replayed_run is not None and names != [REPLAY]:
            raise InputError(f"replay.run_id: requires --pipeline={REPLAY} alone, got {', '.join(names)}")
        if names == [FOLLOW]:  # only process 0 of the training logs to MLflow
            self._is_mlflow_enabled = False
            return
        groups = {name.removeprefix("params:").partition(".")[0] for name in pipeline.inputs()}
        used = {name: group for name, group in self._parameters.items() if name in groups}
        builds = "params:model" in pipeline.inputs()  # other pipelines read only a part of the group
        name = run_name(names, used if builds else {**used, "model": None})
        outbox = tracking.Outbox(self._outbox_folder, self._uri, offline=self._offline)
        shown = hide_secrets(run_params)  # MLflow stores the run's arguments as tags
        if self._offline:
            self._begin_offline(outbox, name, shown)
        else:
            with store.require_server(self._uri):
                self._begin(outbox, name, shown, pipeline, catalog)
        if tracking.current_run() is None:  # mlflow.yml disables tracking for this pipeline
            return
        self._artifacts = _take_over_artifacts(pipeline, catalog)
        tracking.set_tags(git_state(self._project_path) | package_versions() | processes.process_tags())
        _log_parameters(used)

    @hook_impl
    def before_node_run(self, node: Node, catalog: DataCatalog, inputs: dict[str, Any], is_async: bool) -> None:
        """Log all parameters of the node in one request."""
        plain = {name: value.model_dump() if isinstance(value, BaseModel) else value for name, value in inputs.items()}
        self._node_parameters = {}
        super().before_node_run(node, catalog, plain, is_async)
        if self._node_parameters:
            tracking.log_params(self._node_parameters)

    @hook_impl
    def after_node_run(self, outputs: dict[str, Any]) -> None:
        """Log results that are shown as parameters: the tuned values and the chosen network."""
        for name, prefix in LOGGED_AS_PARAMETERS.items():
            if outputs.get(name):
                leaves = pd.json_normalize({prefix: outputs[name]}).iloc[0]
                tracking.log_params({str(leaf): value for leaf, value in leaves.items()})

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:
        """Log the labels as an input of the run when a node loads the labels for the first time."""
        self._keep_result(dataset_name, data)
        is_labels = dataset_name.rpartition(".")[2] in LABEL_TABLES  # without the namespace of a replay
        if is_labels and not self._labels_logged and tracking.current_run() is not None:
            self._labels_logged = True
            _log_labels(data)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Log the file of the dataset if it is an artifact."""
        self._keep_result(dataset_name, data)
        if dataset := self._artifacts.get(dataset_name):
            tracking.log_file(_stored_path(dataset), dataset.artifact_path)

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """End the run, and log its main results and where to look at them."""
        run = tracking.current_run()
        in_project = is_kedro_project(self._project_path)  # a packaged run has no Makefile and no project commands
        waiting = 0
        if self._already_active_mlflow:
            tracking.leave_run()
        else:
            waiting = tracking.end_run("FINISHED")
        remove_finished_checkpoints(catalog, pipeline, run)
        if waiting:
            logger.warning(
                "Entries not yet sent to MLflow at %s: %d (stored in the outbox); the next run%s will send them",
                self._uri,
                waiting,
                " or `kedro send-outbox`" if in_project else "",
            )
        for line in summary(self._results):
            logger.info(line)
        for dataset_name, title in MAIN_OUTPUTS.items():
            if dataset := self._artifacts.get(dataset_name):
                logger.info("%s: %s", title, relpath(_stored_path(dataset), self._project_path))
        if run is not None and not waiting:
            command = "`make ui`, or `kedro mlflow ui`" if in_project else store.ui_command(self._uri)
            logger.info("MLflow run '%s': %s", self.mlflow_config.tracking.run.name, command)
        if run is not None and in_project:
            logger.info("Pipeline with its tables and figures: `make viz`, or `kedro viz run`")

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """End the run as killed if a stop was requested, or as failed after an error; store the reason as a tag."""
        if tracking.current_run() is None:
            return
        if isinstance(error, Stopped):
            tracking.set_tags({processes.STOPPED_TAG: str(error)[:MAX_TAG]})
        else:
            tracking.set_tags({processes.FAILURE_TAG: f"{type(error).__name__}: {error}"[:MAX_TAG]})
        tracking.end_run(tracking.KILLED if isinstance(error, Stopped) else "FAILED")

    def _keep_result(self, dataset_name: str, data: Any) -> None:
        if (name := dataset_name.rpartition(".")[2]) in RESULTS:  # without the namespace of a replay
            self._results[name] = data

    def _set_up_offline(self, context: KedroContext, settings: dict[str, Any]) -> None:
        """Set up kedro-mlflow without contacting the server."""
        self._already_active_mlflow = False
        self.mlflow_config = KedroMlflowConfig.model_validate(settings)
        context.__setattr__("mlflow", self.mlflow_config)
        mlflow.set_tracking_uri(settings["server"]["mlflow_tracking_uri"])

    def _begin_offline(self, outbox: tracking.Outbox, name: str, run_params: dict[str, Any]) -> None:
        settings = self.mlflow_config.tracking
        self._is_mlflow_enabled, self.run_id = True, None
        self.flatten, self.sep = settings.params.dict_params.flatten, settings.params.dict_params.sep
        creation = settings.experiment.create_experiment_kwargs.model_dump()
        tags = {key: str(value) for key, value in run_params.items() if value}
        run = tracking.start_offline_run(outbox, settings.experiment.name, creation, name, tags)
        tracking.begin_run(outbox, run)
        logger.info("Tracking is offline: everything that the run logs is stored in %s", self._outbox_folder)

    def _begin(
        self, outbox: tracking.Outbox, name: str, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        sent, waiting = tracking.send_outbox(self._outbox_folder, self._uri)
        if sent or waiting:
            logger.info("Outbox entries of earlier runs: %d sent to MLflow, %d waiting", sent, waiting)
        settings = self.mlflow_config.tracking
        settings.run.name = name
        interrupted = None if settings.run.id else find_interrupted_run(pipeline, catalog, self._parameters)
        experiment = mlflow.get_experiment_by_name(settings.experiment.name)
        if experiment is not None and not self._already_active_mlflow:  # an active run may belong to another project
            processes.close_stale_runs(experiment.experiment_id)
        if interrupted is not None:
            settings.run.id, settings.run.name = interrupted.info.run_id, interrupted.info.run_name
            processes.clear_end_tags(interrupted)
            logger.info("Resuming the MLflow run '%s' (%s)", settings.run.name, settings.run.id)
        with processes.tag_new_runs():
            super().before_pipeline_run(run_params, pipeline, catalog)
        if self.run_id is not None:
            tracking.begin_run(outbox, self.run_id)
        self.run_id = None  # with an id, kedro-mlflow would request the run from the server before each node

    def _log_param(self, name: str, value: Any) -> None:
        """Collect a parameter, because kedro-mlflow would send one request per parameter."""
        self._node_parameters[name] = value


def _checked(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of mlflow.yml, or raise an InputError that names each wrong setting."""
    try:
        KedroMlflowConfig.model_validate(settings)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}, got {one['input']!r}" for one in error.errors())
        raise InputError(f"mlflow.yml: {'; '.join(problems)}") from error
    return settings


def run_name(pipelines: Sequence[str], used: Mapping[str, Group | None]) -> str:
    """Return the name of a run, such as `train · photos · pets · lite φ=0 224 px`.

    The parts are the pipeline, the folder of the data, the registered model and the network. The default pipeline and
    parts that the run does not use are left out. ``used`` holds the parameter groups that the run uses, by name.
    """
    images, predict, registry, model = (used.get(name) for name in ("images", "predict", "registry", "model"))
    data = Path(images.root).name if isinstance(images, ImageParams) else ""
    if isinstance(predict, PredictParams):
        data = _source_label(predict.source) if predict.source else ""
    parts = ["+".join(pipelines)] if list(pipelines) != [DEFAULT] else []
    parts += [data] if data else []
    parts += [registry.name] if isinstance(registry, RegistryParams) and registry.name not in parts else []
    parts += [network_label(model)] if isinstance(model, ModelParams) else []
    return " · ".join(parts) or DEFAULT


def _source_label(source: str | list[str]) -> str:
    """Return the name of a file or folder, a pattern with its folder, or the first of several sources with a count."""
    first, *more = [source] if isinstance(source, str) else source
    path = Path(first)
    patterned = [index for index, part in enumerate(path.parts) if set("*?[") & set(part)]
    is_pattern = bool(patterned) and not is_url(first)
    name = str(Path(*path.parts[max(patterned[0] - 1, 0) :])) if is_pattern else path.name
    return f"{name} + {len(more)} more" if more else name


def summary(results: Mapping[str, Any]) -> list[str]:
    """Return one log line per main result. ``results`` maps the name of a dataset in `RESULTS` to its data."""
    lines = []
    if metrics := results.get("test_metrics"):
        low, high = metrics.get("test_accuracy_low"), metrics.get("test_accuracy_high")
        interval = "too few groups for an interval" if low is None else f"95 % interval {low:.3f} to {high:.3f}"
        accuracy, area = metrics["test_accuracy"], metrics["test_roc_auc"]
        lines.append(f"Test accuracy {accuracy:.3f} ({interval}), ROC AUC {area:.3f}")
    if model := results.get("registered_model"):
        version = "" if model["version"] is None else f" version {model['version']}"
        lines.append(f"{model['name']}{version} is {model['alias']}: {model['reason']}")
    return lines


def _log_labels(table: pd.DataFrame) -> None:
    """Log the labels as an input of the run, with a digest of all rows."""
    labels = table.drop(columns="split", errors="ignore")
    # MLflow infers column types from every cell, which takes minutes and a gigabyte for a million rows.
    few = pd.concat([labels.head(SCHEMA_ROWS), labels[labels.isna().any(axis=1)].head(SCHEMA_ROWS)])
    dataset = mlflow.data.from_pandas(few, name="labels", targets="label", digest=labels_digest(labels)[:16])
    profile = json.dumps({"num_rows": len(labels), "num_elements": labels.size})
    tracking.log_input(dataset.to_dict() | {"profile": profile}, context="labels")


def _log_parameters(groups: dict[str, Group]) -> None:
    """Log the parameters as JSON, so that a replay of the run gets the same types. Secrets are logged as stars."""
    with TemporaryDirectory() as folder:
        file = Path(folder, PARAMETERS_FILE)
        values = {name: group.model_dump(mode="json") for name, group in groups.items()}
        file.write_text(json.dumps(values, indent=2), encoding="utf-8")
        tracking.log_file(file)


def _stored_path(dataset: Any) -> Path:
    versioned = getattr(dataset, "_version", None) is not None
    return Path(dataset._get_load_path() if versioned else dataset._filepath)


def _take_over_artifacts(pipeline: Pipeline, catalog: DataCatalog) -> dict[str, Any]:
    """Return the artifact datasets by name, after switching off their own logging, which fails without the server."""
    outputs: dict[str, Any] = {name: catalog.get(name) for name in pipeline.all_outputs() if name in catalog}
    artifacts = {name: dataset for name, dataset in outputs.items() if hasattr(dataset, "_logging_activated")}
    for dataset in artifacts.values():
        dataset._logging_activated = False
    return artifacts
