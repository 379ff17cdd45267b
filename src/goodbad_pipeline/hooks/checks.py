"""Checks of parameters and stored inputs before a run begins."""

import os
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from goodbad_pipeline import lazy, params
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.network_factory import check_networks
from goodbad_pipeline.networks.scaling import warn_of_product
from goodbad_pipeline.secrecy import hide_secrets
from goodbad_pipeline.training.environment import check_process_role, read_process_info, require_backend

devices = lazy.load("goodbad_pipeline.training.devices")  # imports Keras

FOLLOW = "follow"  # pipeline that processes 1, 2, … of a distributed training run; they log nothing
TRAINED_ON = {"pixels", "pixel_cache"}
MOST_NAMES = 3  # maximum number of missing datasets that a message names


class Context(KedroContext):
    """Kedro's context, with the parameters as plain mappings. The catalog has them as groups (see `CheckHooks`)."""

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of all groups, as they are configured."""
        return dict(self.config_loader["parameters"])


class CheckHooks:
    """Checks parameters and stored inputs, to raise an InputError before the run begins rather than during it."""

    def __init__(self) -> None:
        self.parameters: dict[str, params.Group] = {}

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Mask secrets, validate all parameters, and resolve relative paths against the project's root."""
        named = params.rename_parameters(hide_secrets(context.config_loader["parameters"]))
        raw = params.anchor_paths(named, Path(context.project_path))
        self.parameters = params.validate_parameters(raw)
        check_networks(self.parameters)
        context.config_loader["parameters"] = raw

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog, parameters: dict[str, Any]) -> None:
        """Replace the plain parameters in the catalog by the groups that nodes expect."""
        for name, group in params.validate_parameters(parameters["parameters"]).items():
            _save_group(catalog, f"params:{name}", group)

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Check stored inputs and coefficients; before a training, also check its devices and this process's role."""
        stored = (name for name in sorted(pipeline.inputs()) if not name.startswith("params:"))
        missing = [name for name in stored if not catalog.exists(name)]
        if missing:
            first = sorted(missing, key=lambda name: name != "splits")[:MOST_NAMES]
            raise InputError(
                f"{', '.join(first)}: the pipeline needs these outputs of an earlier pipeline, which do not exist; "
                "run --pipeline=data first"
            )
        model, training = self.parameters.get("model"), self.parameters.get("training")
        if isinstance(model, params.ModelParams) and {"params:model", "params:model.coefficients"} & pipeline.inputs():
            warn_of_product(model.coefficients.constants)
        datasets = {name.rpartition(".")[2] for name in pipeline.datasets()}  # without the namespace of a replay
        trains = "params:training" in pipeline.inputs() and TRAINED_ON & datasets
        if isinstance(training, params.TrainingParams) and trains:
            _check_training(training, follows=run_params.get("pipeline_names") == [FOLLOW])


def _save_group(catalog: DataCatalog, name: str, group: params.Group) -> None:
    """Save a group of parameters, and the groups in it, as datasets."""
    catalog.save(name, group)
    for field, value in group:
        if isinstance(value, params.Group):
            _save_group(catalog, f"{name}.{field}", value)


def _check_training(training: params.TrainingParams, *, follows: bool) -> None:
    require_backend()
    info = read_process_info(os.environ) if training.distributed else None
    check_process_role(info, distributed=training.distributed, follows=follows)
    if training.require_gpu:
        devices.require_gpu(distributed=training.distributed)
