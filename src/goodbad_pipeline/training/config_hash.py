"""The config (all that determines a training's result), its hash and config differences. Keras is not imported."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

Config = dict[str, Any]  # nested names and JSON values; trainings with equal configs give equal weights, bit for bit

_SOURCES = (
    "evaluation/bootstrap.py",
    "evaluation/comparison.py",
    "evaluation/decision.py",
    "evaluation/metrics.py",
    "evaluation/predictions.py",
    "experiments/**/*.py",
    "network_factory.py",
    "networks/**/*.py",
    "images/**/*.py",
    "params/**/*.py",
    "pipelines/training/*.py",
    "training/**/*.py",
)
_LIBRARIES = (
    "jax",
    "jaxlib",
    "keras",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "scikit-learn",
    "simplejpeg",
    "tensorflow",
)


def config_hash(config: Config) -> str:
    """Return the SHA-256 of a config as 64 hex digits."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def training_config(parameters: Config, splits: pd.DataFrame) -> Config:
    """Return everything that determines the result of a training and is known before the network is built."""
    return {"parameters": parameters, "splits": splits_digest(splits), **code_config()}


def splits_digest(splits: pd.DataFrame) -> str:
    """Return the SHA-256 of the content, label and split of all images, in order, as 64 hex digits."""
    rows = splits[["image_id", "label", "split"]].astype(str).agg("\t".join, axis=1)
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def code_config() -> Config:
    """Return a digest of the source files that affect training, and the versions of the libraries they use."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in sorted(file for sources in _SOURCES for file in package.glob(sources)):
        digest.update(f"{file.relative_to(package)}\0".encode() + file.read_bytes())
    return {"code": digest.hexdigest(), "versions": dict(_versions())}


def config_differences(old: Config, new: Config) -> list[str]:
    """Return a description of each difference, such as ``parameters.training.seed was 0, is 1``."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    names = [*before, *(name for name in after if name not in before)]
    return [
        f"{name} was {_short(before.get(name))}, is {_short(after.get(name))}"
        for name in names
        if before.get(name) != after.get(name)
    ]


def _versions() -> Iterator[tuple[str, str]]:
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):  # JAX may not be installed
            yield name, version(name)


def _leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _short(value: Any) -> str:
    text = str(value)
    return f"{text[:8]}…" if len(text) == 64 else text
