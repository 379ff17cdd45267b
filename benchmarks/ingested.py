"""Labels and parameters of a project in which `kedro run --pipeline=data` has run."""

import sys
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf

from goodbad_pipeline.images.splits import split_labels
from goodbad_pipeline.params import anchor_paths, validate_parameters
from goodbad_pipeline.settings import CONFIG_LOADER_ARGS

Changes = Mapping[str, Any]
"""Values by the dotted name of a parameter."""


@dataclass(frozen=True)
class Project:
    """Labelled images and parameters of a project.

    Attributes:
        name: Title in tables: the folder of the images and the changed parameters.
        parameters: All parameters, with absolute paths.
        labels: Parquet file of the labels.
    """

    name: str
    parameters: dict[str, Any]
    labels: Path

    def changed(self, changes: Changes) -> dict[str, Any]:
        """Return a copy of the parameters with changes."""
        return changed(self.parameters, changes)

    def splits(self, seed: int) -> pd.DataFrame:
        """Return the labels with the splits of a seed."""
        return read_splits(self.labels, self.changed({"splits.seed": seed}))


def read_project(folder: Path, params: str = "") -> Project:
    """Read the parameters and find the labels of a project.

    Args:
        folder: Folder of the project.
        params: Changes as in ``kedro run --params``: ``a.b=1,c.d=2``.
    """
    runtime = OmegaConf.to_container(OmegaConf.from_dotlist(params.split(","))) if params else {}
    loader = OmegaConfigLoader(str(folder / "conf"), runtime_params=runtime, **CONFIG_LOADER_ARGS)
    parameters = anchor_paths(loader["parameters"], folder.resolve())
    labels = folder / loader["catalog"]["labels"]["filepath"]
    if not labels.is_file():
        sys.exit(f"{labels}: missing; run `kedro run --pipeline=data` in {folder} first")
    others = [part for part in params.split(",") if part and not part.startswith("images.root=")]
    return Project(" ".join([Path(parameters["images"]["root"]).name, *others]), parameters, labels)


def changed(parameters: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """Return a copy of nested parameters with changes."""
    copy = deepcopy(parameters)
    for name, value in changes.items():
        *groups, leaf = name.split(".")
        node = copy
        for group in groups:
            node = node[group]
        node[leaf] = value
    return copy


def read_splits(labels: Path, parameters: dict[str, Any]) -> pd.DataFrame:
    """Read the labels from a file and split them by the parameters."""
    return split_labels(pd.read_parquet(labels), validate_parameters(parameters)["splits"].settings)
