"""Find what a result was computed from: commit, package versions and a digest of the labels."""

import hashlib
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd

VERSION_PREFIX = "version."
PACKAGES = ("keras", "tensorflow", "numpy", "pandas", "Pillow", "scikit-learn", "scipy", "mlflow", "kedro")
"""Packages whose version may change the results."""


def package_versions() -> dict[str, str]:
    """Return the tags ``version.python`` and ``version.<package>`` of each installed package in ``PACKAGES``."""
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package.lower()] = version(package)
    return {f"{VERSION_PREFIX}{name}": number for name, number in versions.items()}


def git_state(folder: Path) -> dict[str, str]:
    """Return the tags ``git_commit`` and ``git_dirty`` (true or false); both are ``unknown`` outside a git checkout."""
    commands = (["git", "rev-parse", "HEAD"], ["git", "status", "--porcelain"])
    try:
        commit, changes = (
            subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
            for command in commands
        )
    except (OSError, subprocess.SubprocessError):
        return {"git_commit": "unknown", "git_dirty": "unknown"}
    return {"git_commit": commit, "git_dirty": str(bool(changes)).lower()}


def labels_digest(labels: pd.DataFrame) -> str:
    """Return the SHA-256 of all image ids, labels and groups as 64 hex digits; the order of rows has no effect."""
    image, label, group = (labels[name].astype(str) for name in ("image_id", "label", "group"))
    rows = image + "\t" + label + "\t" + group
    return hashlib.sha256("\n".join(sorted(rows.tolist())).encode()).hexdigest()
