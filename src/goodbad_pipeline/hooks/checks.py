"""Checks of parameters and stored inputs before a run begins."""

import logging
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.config import MissingConfigException
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from goodbad_pipeline import lazy, params
from goodbad_pipeline.errors import InputError, find_cause, option
from goodbad_pipeline.exporting import require_packages
from goodbad_pipeline.hooks.resume import STUDIES
from goodbad_pipeline.images import stores
from goodbad_pipeline.images.paths import Root, find_state
from goodbad_pipeline.images.sources import check_source
from goodbad_pipeline.images.stores import open_root
from goodbad_pipeline.network_factory import check_networks
from goodbad_pipeline.networks.scaling import warn_of_product
from goodbad_pipeline.secrecy import hide_secrets
from goodbad_pipeline.training.environment import check_process_role, read_process_info, require_backend
from goodbad_pipeline.training.stopping import Stopped

databases = lazy.load("goodbad_pipeline.databases")  # imports SQLAlchemy
devices = lazy.load("goodbad_pipeline.training.devices")  # imports Keras

FOLLOW = "follow"  # pipeline that processes 1, 2, … of a distributed training run; they log nothing
DOWNLOADS = Path("data/02_intermediate/downloads")  # in the project; may be removed at any time
TRAINED_ON = {"pixels", "pixel_cache"}
EARLIER = ("data", "train")  # pipelines whose stored outputs other pipelines read
TABLES = ("images", "unreadable", "quarantine", "labels", "splits", "development")  # of images, in stored files
PROBED = 100  # approximate number of images whose files are looked up in images.root
MOST_NAMES = 3  # maximum number of missing datasets that a message names


class CheckHooks:
    """Checks parameters and stored inputs before a run begins, so that no InputError ends the run halfway."""

    def __init__(self) -> None:
        self.parameters: dict[str, params.Group] = {}
        self._studies: Any = None  # URL of the database of hyperparameter searches

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Mask secrets, validate all parameters, and resolve relative paths against the project's root."""
        named = params.rename_parameters(hide_secrets(context.config_loader["parameters"]))
        raw = params.anchor_paths(named, Path(context.project_path))
        self.parameters = params.validate_parameters(raw)
        check_networks(self.parameters)
        context.config_loader["parameters"] = raw
        _configure_stores(context, self.parameters)
        self._studies = _read_studies_url(context, self.parameters)

    @hook_impl
    def after_catalog_created(
        self, catalog: DataCatalog, conf_catalog: dict[str, Any], parameters: dict[str, Any], load_versions: Any
    ) -> None:
        """Replace the dicts of parameters in the catalog by validated groups, such as `ModelParams`, for the nodes."""
        _check_load_versions(load_versions or (), catalog, conf_catalog)
        studies: Any = catalog.get(STUDIES) if self._studies is not None else None
        if studies is not None:
            studies.url = self._studies
        for name, group in params.validate_parameters(parameters["parameters"]).items():
            _save_group(catalog, f"params:{name}", group)

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Check stored inputs, what the pipeline requires, scaling coefficients, and a training's GPU and rank."""
        stored = (name for name in sorted(pipeline.inputs()) if not name.startswith("params:"))
        missing = [name for name in stored if not catalog.exists(name)]
        if missing:
            first = sorted(missing, key=lambda name: name != "splits")[:MOST_NAMES]
            earlier = [name for name in EARLIER if pipelines[name].all_outputs() & set(missing)]
            raise InputError(
                f"{', '.join(first)}: the pipeline reads these datasets, which an earlier pipeline must write; "
                f"run --pipeline={' and then --pipeline='.join(earlier) or EARLIER[0]} first"
            )
        _check_required(pipeline, self.parameters)
        if self._studies is not None and STUDIES in pipeline.inputs():
            databases.check_connection("tune.storage", self._studies)
        _require_same_images(pipeline, catalog, self.parameters.get("images"))
        model, training = self.parameters.get("model"), self.parameters.get("training")
        if isinstance(model, params.ModelParams) and {"params:model", "params:model.coefficients"} & pipeline.inputs():
            warn_of_product(model.coefficients.constants)
        datasets = {name.rpartition(".")[2] for name in pipeline.datasets()}  # without the namespace of a replay
        trains = "params:training" in pipeline.inputs() and TRAINED_ON & datasets
        if isinstance(training, params.TrainingParams) and trains:
            _check_training(training, follows=run_params.get("pipeline_names") == [FOLLOW])


def _check_load_versions(names: Iterable[str], catalog: DataCatalog, conf_catalog: dict[str, Any]) -> None:
    for name in names:
        pattern = catalog.config_resolver.match_dataset_pattern(name) or ""
        if not conf_catalog.get(name, conf_catalog.get(pattern, {})).get("versioned"):
            raise InputError(
                f"--load-versions: '{name}' must be a dataset with versions; leave out the option, or add "
                "versioned: true to the catalog entry of this dataset and run the pipeline that writes the dataset"
            )


def _configure_stores(context: KedroContext, parameters: dict[str, params.Group]) -> None:
    """Check the URLs of images, and give the image stores the credentials that `images.credentials` names."""
    images, predict = parameters.get("images"), parameters.get("predict")
    if isinstance(predict, params.PredictParams) and predict.source is not None:
        for source in [predict.source] if isinstance(predict.source, str) else predict.source:
            stores.check_url("predict.source", source)
    if isinstance(images, params.ImageParams):
        stores.check_url("images.root", images.root)
        options = _read_credentials(context, "images.credentials", images.credentials)
        stores.configure(stores.Access(options, Path(context.project_path) / DOWNLOADS, int(images.cache_gb * 1e9)))


def _read_studies_url(context: KedroContext, parameters: dict[str, params.Group]) -> Any:
    """Return `tune.storage` with the credentials that `tune.credentials` names; None if `tune.storage` is not set."""
    tune = parameters.get("tune")
    if not isinstance(tune, params.TuneParams) or tune.storage is None:
        return None
    stores.check_url("tune.storage", tune.storage, "tune.credentials")
    credentials = _read_credentials(context, "tune.credentials", tune.credentials)
    return databases.read_url("tune.storage", tune.storage, credentials, Path(context.project_path))


def _read_credentials(context: KedroContext, parameter: str, name: str | None) -> dict[str, Any]:
    if name is None:
        return {}
    try:
        entries = context.config_loader["credentials"]
    except MissingConfigException:
        entries = {}
    if not isinstance(entries.get(name), dict):
        raise InputError(
            f"{parameter}: must be an entry of conf/local/credentials.yml, got '{name}'; its entries are: "
            f"{', '.join(entries) or 'none'}"
        )
    return dict(entries[name])


def _save_group(catalog: DataCatalog, name: str, group: params.Group) -> None:
    """Save a group of parameters as the dataset ``name``, and each group inside this group as ``name.field``."""
    catalog.save(name, group)
    for field, value in group:
        if isinstance(value, params.Group):
            _save_group(catalog, f"{name}.{field}", value)


def _check_required(pipeline: Pipeline, parameters: Mapping[str, params.Group]) -> None:
    """Check the files to predict, the packages of an export, and that a run to replay is named."""
    predict, images, replay = (parameters.get(name) for name in ("predict", "images", "replay"))
    inputs = pipeline.inputs()
    if "params:predict" in inputs and isinstance(predict, params.PredictParams):
        check_source(predict.source, images.columns.path if isinstance(images, params.ImageParams) else "path")
    if "params:export" in inputs:
        require_packages()
    if "params:replay" in inputs and isinstance(replay, params.ReplayParams) and replay.run_id is None:
        raise InputError("replay.run_id: name a run of MLflow with --params=replay.run_id=<its id>")


def _require_same_images(pipeline: Pipeline, catalog: DataCatalog, images: params.Group | None) -> None:
    """Raise an InputError if the stored tables that the pipeline reads were made from different images.

    If the pipeline reads ``images.root``, the tables must have been made from the images in ``images.root``. A table of
    another root is accepted if ``images.root`` contains the same files, because the images were then only moved.
    """
    tables = {name: catalog.load(name) for name in TABLES if name in pipeline.inputs()}
    stored = {name: table.attrs["root"] for name, table in tables.items() if "root" in table.attrs}
    if stored and isinstance(images, params.ImageParams):
        root = images.root if "params:images" in pipeline.inputs() else next(iter(stored.values()))
        current = open_root(root) if set(stored.values()) != {root} else Path(root)
        for name, its_root in stored.items():
            if its_root != root and not _contains(current, tables[name]):
                raise InputError(_other_images(name, stored, root))
    splits = tables.get("splits")
    if splits is not None and "test_predictions" in pipeline.inputs():
        predicted, test = catalog.load("test_predictions"), splits[splits["split"] == "test"]
        if set(predicted["image_id"]) != set(test["image_id"]):
            raise InputError(
                "test_predictions: must contain exactly the images of the stored test split, but the stored model was "
                "evaluated on different images; run --pipeline=train first"
            )


def _contains(root: Root, table: pd.DataFrame) -> bool:
    """Look up about `PROBED` images of the table in ``root``; return whether all exist there with the same size."""
    readable = table.dropna(subset=["path", "size"])
    probed = readable.iloc[:: max(1, len(readable) // PROBED)]
    states = (find_state(root, path) for path in probed["path"])
    return all(state and state.size == size for state, size in zip(states, probed["size"], strict=True))


def _other_images(name: str, stored: Mapping[str, str], root: str) -> str:
    problem = f"images.root: the stored table '{name}' is of the images in '{stored[name]}'"
    if len(set(stored.values())) > 1:
        others = ", ".join(other for other in stored if stored[other] != stored[name])
        return f"{problem}; of other images are {others}; run --pipeline=data again, which replaces these tables"
    return (
        f"{problem}, got '{root}'. To replace the stored tables, first run --pipeline=data "
        f"{option('images.root', root)}. To use the stored tables, add {option('images.root', stored[name])} or set it "
        "in conf/local/parameters.yml"
    )


def helps_after_error(record: logging.LogRecord) -> bool:
    """Return False for Kedro's messages about an InputError or a stop, so that these messages are not shown.

    The command line prints the error in one line. Kedro would add the advice to resume with --from-nodes. This advice
    does not help: the user must first mend an InputError, and the same command resumes a stopped run.
    """
    return record.levelno < logging.WARNING or find_cause(sys.exc_info()[1], (InputError, Stopped)) is None


def _check_training(training: params.TrainingParams, *, follows: bool) -> None:
    require_backend()
    info = read_process_info(os.environ) if training.distributed else None
    check_process_role(info, distributed=training.distributed, follows=follows)
    if training.require_gpu:
        devices.require_gpu(distributed=training.distributed)
