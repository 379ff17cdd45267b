"""What a registered version was trained and selected on, and what the weights had seen that a training starts from."""

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
"""Under which name the facts of a network tell what `describe_source` found."""


def read_seen(name: str, version: str) -> Exposure:
    """Return what a version was trained and selected on; unknown of those that no record was kept of.

    Raises:
        InputError: The record is not the one that was registered.
        TrackingUnavailable: MLflow does not answer.
    """
    uri = f"models:/{name}/{version}/artifacts/{EXPOSURE_FILE}"
    try:
        with raise_unavailable():
            digest = read_tags(name, version).get(EXPOSURE_TAG)
            if digest is None:
                return UNKNOWN
            file = Path(mlflow.artifacts.download_artifacts(uri))
    except (OSError, MlflowException) as error:
        raise InputError(f"{uri}: the record of what it was trained on cannot be read ({error})") from error
    if file_digest(file) != digest:
        raise InputError(f"{uri}: the record of what it was trained on was changed since it was registered")
    return Exposure.read(file)


def describe_source(model: ModelParams, weights: str, registered: str, splits: pd.DataFrame) -> dict[str, Any] | None:
    """Say what the first weights had seen of these images.

    Args:
        model: What the weights start from.
        weights: ``none``, ``imagenet`` or a file, where they are not grown.
        registered: Name of the registered model, where `grow_from` does not say it.
        splits: The images.

    Returns:
        None where they had seen none of ours; else the ``version`` they are from (None for a file), whether all that it
        had seen is ``recorded``, and how many ``test_images`` are among that.
    """
    source = parse_growth_source(model.grow_from)
    if source.imagenet if source else weights in (SCRATCH, IMAGENET):
        return None
    version = f"{source.name or registered}/{source.version}" if source and source.version else None
    test = splits[splits["split"] == "test"]
    seen = _seen_by(version)
    return {"version": version, "recorded": seen.complete, "test_images": int(seen.exposed_rows(test).sum())}


def seen_before(network: Mapping[str, Any]) -> int:
    """Return how many test images, or others of their groups, the first weights had seen, from a network's facts."""
    return int((network.get(SOURCE) or {}).get("test_images", 0))


def unrecorded_source(network: Mapping[str, Any]) -> str | None:
    """Return what a network started from, where it is not on record what that had seen."""
    source = network.get(SOURCE)
    return None if source is None or source["recorded"] else str(network["weights"])


def seen_in_all(network: Mapping[str, Any], splits: pd.DataFrame) -> Exposure:
    """Return what a network has seen that was trained on these splits, from what its facts say it started from."""
    source = network.get(SOURCE, {"version": None})  # a version of this project before kept no record
    before = NOTHING if source is None else _seen_by(source["version"])
    return before.union(split_exposure(splits))


def _seen_by(version: str | None) -> Exposure:
    if version is None:
        return UNKNOWN
    name, _, number = version.rpartition("/")
    return read_seen(name, number)
