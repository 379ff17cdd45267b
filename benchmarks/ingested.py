"""What `kedro run --pipeline=data` left in a project, for measurements that train on it."""

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
"""From the dotted name of a parameter to its value."""


@dataclass(frozen=True)
class Project:
    """Labelled images and how they would be trained on.

    Attributes:
        name: To show: the folder of the images, and the parameters that were said.
        parameters: All of them, with absolute paths.
        labels: The file of the labels.
    """

    name: str
    parameters: dict[str, Any]
    labels: Path

    def changed(self, changes: Changes) -> dict[str, Any]:
        """The parameters with some of them changed."""
        return changed(self.parameters, changes)

    def splits(self, seed: int) -> pd.DataFrame:
        """The labels with the splits of a seed."""
        return read_splits(self.labels, self.changed({"splits.seed": seed}))


def read_project(folder: Path, said: str = "") -> Project:
    """Read a project's parameters, and find its labels.

    Args:
        folder: The project.
        said: What ``kedro run --params`` takes: ``a.b=1,c.d=2``.
    """
    runtime = OmegaConf.to_container(OmegaConf.from_dotlist(said.split(","))) if said else {}
    loader = OmegaConfigLoader(str(folder / "conf"), runtime_params=runtime, **CONFIG_LOADER_ARGS)
    parameters = anchor_paths(loader["parameters"], folder.resolve())
    labels = folder / loader["catalog"]["labels"]["filepath"]
    if not labels.is_file():
        sys.exit(f"{labels}: is missing; run `kedro run --pipeline=data` in {folder} first")
    others = [part for part in said.split(",") if part and not part.startswith("images.root=")]
    return Project(" ".join([Path(parameters["images"]["root"]).name, *others]), parameters, labels)


def changed(parameters: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """A copy of nested parameters with some of them changed."""
    copy = deepcopy(parameters)
    for name, value in changes.items():
        *groups, leaf = name.split(".")
        place = copy
        for group in groups:
            place = place[group]
        place[leaf] = value
    return copy


def read_splits(labels: Path, parameters: dict[str, Any]) -> pd.DataFrame:
    """The labels of a file, split as the parameters say."""
    return split_labels(pd.read_parquet(labels), validate_parameters(parameters)["splits"].settings)
