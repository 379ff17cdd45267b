"""Copies of this project to run in, so that a measurement neither finds nor leaves anything behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
KEDRO = Path(sys.executable).with_name("kedro")


def copy_project(folder: Path) -> Path:
    """Make a folder the project as it comes: configuration, no images, no outputs, nothing of ``conf/local``."""
    shutil.copytree(PROJECT / "conf", folder / "conf", ignore=shutil.ignore_patterns("local"))
    (folder / "conf" / "local").mkdir()
    (folder / "src").mkdir()
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(PROJECT / name, folder / name)
    return folder


def run_quietly(command: list[str | Path], folder: Path) -> None:
    """Run a command to its end, without a tracking server; what it said is told where it fails.

    Raises:
        RuntimeError: It failed.
    """
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    found = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if found.returncode:
        raise RuntimeError(f"{command} ended with status {found.returncode}\n{found.stdout}\n{found.stderr}")
