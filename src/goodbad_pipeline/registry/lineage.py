"""Lineage of a model: the images that were used to train or select the model or its initial weights (its exposure)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.exposure import NOTHING, UNKNOWN, Exposure, split_exposure
from goodbad_pipeline.networks.net2net_source import parse_growth_source
from goodbad_pipeline.networks.pretrained import IMAGENET
from goodbad_pipeline.params import ModelParams
from goodbad_pipeline.registry.models import EXPOSURE_FILE, EXPOSURE_TAG, read_tags
from goodbad_pipeline.serving.archive import file_digest
from goodbad_pipeline.tracking import raise_unavailable

SCRATCH = "none"
SOURCE = "source"
"""Key under which the description of a network stores the result of `describe_source`."""


def read_exposure(name: str, version: str) -> Exposure:
    """Return the images on which a version was trained or selected; ``UNKNOWN`` if they were not recorded.

    Raises:
        InputError: The record cannot be read, or was changed since the registration.
        TrackingUnavailable: MLflow is unavailable.
    """
    uri = f"models:/{name}/{version}/artifacts/{EXPOSURE_FILE}"
    try:
        with raise_unavailable():
            digest = read_tags(name, version).get(EXPOSURE_TAG)
            if digest is None:
                return UNKNOWN
            file = Path(mlflow.artifacts.download_artifacts(uri))
    except (OSError, MlflowException) as error:
        raise InputError(f"{uri}: the record of training images cannot be read ({error}); restore the file") from error
    if file_digest(file) != digest:
        raise InputError(f"{uri}: the record of training images was changed since it was registered; restore the file")
    return Exposure.read(file)


def describe_source(model: ModelParams, weights: str, registered: str, splits: pd.DataFrame) -> dict[str, Any] | None:
    """Describe whether the initial weights were trained on images of these splits.

    A grown network starts from ``model.grow_from``, where a number alone is a version of the model ``registered``.
    A network that is not grown starts from ``weights``: ``none``, ``imagenet`` or a file.

    Returns:
        None for random and ImageNet weights. For all other weights, a dictionary: ``version`` (None for a file),
        ``recorded`` (True if all training images of the weights are known) and ``test_images`` (number of test images
        in groups that were used to train or select the weights).
    """
    source = parse_growth_source(model.grow_from)
    if source.imagenet if source else weights in (SCRATCH, IMAGENET):
        return None
    version = f"{source.name or registered}/{source.version}" if source and source.version else None
    test = splits[splits["split"] == "test"]
    exposure = _source_exposure(version)
    exposed = int(exposure.exposed_rows(test).sum())
    return {"version": version, "recorded": exposure.complete, "test_images": exposed}


def count_exposed_test_images(network: Mapping[str, Any]) -> int:
    """Return the number of test images in groups that were used to train or select the initial weights."""
    source = network.get(SOURCE) or {}
    return int(source.get("test_images", source.get("test_pictures", 0)))  # version 0.1 wrote "test_pictures"


def unrecorded_source(network: Mapping[str, Any]) -> str | None:
    """Return the name of a network's initial weights if their training images are not all recorded, else None."""
    source = network.get(SOURCE)
    return None if source is None or source["recorded"] else str(network["weights"])


def total_exposure(network: Mapping[str, Any], splits: pd.DataFrame) -> Exposure:
    """Return the exposure of a network trained on these splits, including the exposure of its initial weights."""
    source = network.get(SOURCE, {"version": None})  # older trainings recorded no source
    initial = NOTHING if source is None else _source_exposure(source["version"])
    return initial.union(split_exposure(splits))


def _source_exposure(version: str | None) -> Exposure:
    if version is None:
        return UNKNOWN
    name, _, number = version.rpartition("/")
    return read_exposure(name, number)
