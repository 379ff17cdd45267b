"""Checks parameters and stored inputs before a run begins."""

import logging
import os
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from goodbad_pipeline import lazy
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.network_factory import check_networks
from goodbad_pipeline.networks.scaling import warn_of_product
from goodbad_pipeline.params import (
    Group,
    ModelParams,
    TrainingParams,
    anchor_paths,
    rename_parameters,
    validate_parameters,
)
from goodbad_pipeline.secrecy import hide_secrets
from goodbad_pipeline.training.environment import check_process_role, read_process_info, require_backend

devices = lazy.load("goodbad_pipeline.training.devices")  # imports Keras
logger = logging.getLogger(__name__)

IMAGES = {"pixels", "pixel_cache"}  # of a pipeline that trains
FOLLOW = "follow"  # pipeline of processes 1, 2, … of a training, which log nothing


class CheckHooks:
    """Finds what would end the run before it begins."""

    def __init__(self) -> None:
        self.parameters: dict[str, Group] = {}

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Hide what is secret, check every parameter, and let relative paths start at the project's root."""
        raw = anchor_paths(
            rename_parameters(hide_secrets(context.config_loader["parameters"])), Path(context.project_path)
        )
        self.parameters = validate_parameters(raw)
        check_networks(self.parameters)
        context.config_loader["parameters"] = raw

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Check that stored inputs are there, and what is trained on; warn of odd coefficients, once a run."""
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
        made = {name.rpartition(".")[2] for name in pipeline.datasets()}  # a replay's, or a follower's, too
        trains = "params:training" in pipeline.inputs() and IMAGES & made
        if isinstance(training, TrainingParams) and trains:
            require_backend()
            follows = run_params.get("pipeline_names") == [FOLLOW]
            info = read_process_info(os.environ) if training.distributed else None
            check_process_role(info, distributed=training.distributed, follows=follows)
            if training.require_gpu:
                devices.require_gpu(distributed=training.distributed)
