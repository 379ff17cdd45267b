"""`kedro registry list` in this project against the same in an empty Kedro project with the same plugins."""

import subprocess
import sys
from pathlib import Path

from benchmarks.harness import Benchmark, Run

_FILES = {
    "pyproject.toml": '[tool.kedro]\npackage_name = "empty"\nproject_name = "empty"\nkedro_init_version = "1.7.0"\n'
    'source_dir = "src"\n',
    "src/empty/__init__.py": "",
    "src/empty/settings.py": "",
    "src/empty/pipeline_registry.py": "def register_pipelines():\n    return {}\n",
    "conf/base/catalog.yml": "",
    "conf/local/.gitkeep": "",
    ".telemetry": "consent: false\n",
}


def _listing(project: Path) -> Run:
    command = [sys.executable, "-m", "kedro", "registry", "list"]
    return lambda: subprocess.run(command, cwd=project, check=True, stdout=subprocess.DEVNULL)


def _project(_: Path) -> Run:
    return _listing(Path(__file__).parents[1])


def _empty(folder: Path) -> Run:
    for name, text in _FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return _listing(folder)


BENCHMARKS = [
    Benchmark(
        file=__name__,
        name="startup",
        compares="`kedro registry list` / the same in an empty project with the same plugins",
        project=_project,
        reference=_empty,
        target=1.3,
        higher=False,
    )
]
