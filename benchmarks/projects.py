"""Copies of this project, so that no measurement depends on an earlier run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
KEDRO = Path(sys.executable).with_name("kedro")


def copy_project(folder: Path) -> Path:
    """Copy the configuration, except ``conf/local``, into a folder; no images, no outputs."""
    shutil.copytree(PROJECT / "conf", folder / "conf", ignore=shutil.ignore_patterns("local"))
    (folder / "conf" / "local").mkdir()
    (folder / "src").mkdir()
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(PROJECT / name, folder / name)
    return folder


def run_quietly(command: list[str | Path], folder: Path) -> None:
    """Run a command without a tracking server; its output is shown only if it fails.

    Raises:
        RuntimeError: The command failed.
    """
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{command} ended with status {result.returncode}\n{result.stdout}\n{result.stderr}")
