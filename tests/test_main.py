"""The packaged project, as ``kedro package`` builds it, in a folder of its own."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from factories import PROJECT

WATCH = """
import sys

def record(event, arguments):
    if event in ("socket.getaddrinfo", "socket.connect"):
        with open("sockets.txt", "a") as file:
            file.write(f"{event} {arguments}\\n")

sys.addaudithook(record)
"""
"""A sitecustomize.py that records every host name that the process looks up and every connection that it opens."""
TOLD = ("DO_NOT_TRACK", "KEDRO_DISABLE_TELEMETRY", "MLFLOW_DISABLE_TELEMETRY", "CI", "GITHUB_REPOSITORY_OWNER")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the content of the wheel in ``site`` and the archive of the configuration."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("package")
    shutil.copytree(PROJECT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(PROJECT / name, source)
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(source), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True)
    zipfile.ZipFile(next(source.glob("*.whl"))).extractall(folder / "site")
    (folder / "site" / "sitecustomize.py").write_text(WATCH)
    archive = folder / "conf-goodbad_pipeline.tar.gz"
    subprocess.run(["tar", "--exclude=local/*.yml", "-czf", archive, f"--directory={PROJECT}", "conf"], check=True)
    return folder


def packaged_run(package: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if name not in TOLD}
    return subprocess.run(
        [sys.executable, "-m", "goodbad_pipeline", *arguments],
        cwd=package,
        env={**environment, "PYTHONPATH": "site"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.long
@pytest.mark.no_cover
def test_a_packaged_run_connects_to_nothing_and_logs_like_a_run_of_the_project(package: Path) -> None:
    done = packaged_run(package, "--conf-source=conf-goodbad_pipeline.tar.gz", "--pipeline=sample_data")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (package / "data/01_raw/characters/labels.csv").exists()
    assert not (package / "sockets.txt").exists(), (package / "sockets.txt").read_text()
    *lines, last = done.stdout.splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d INFO    \S", line) for line in lines), done.stdout
    assert last.endswith(f"MLflow run 'sample_data': `mlflow ui --backend-store-uri sqlite:///{package / 'mlflow.db'}`")
    assert not done.stderr


@pytest.mark.long
@pytest.mark.no_cover
def test_a_packaged_run_without_configuration_names_the_option(package: Path) -> None:
    done = packaged_run(package, "--pipeline=sample_data")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: --conf-source: must be given, because there is no folder '")
    assert done.returncode == 1
