"""The registered model in an environment that has nothing but the requirements it lists itself."""

import json
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from serving_kit import environment

from goodbad_pipeline.registry.models import load_champion

pytestmark = pytest.mark.slow
URI = "models:/goodbad@champion"
SCRIPT = """
import json, sys
from importlib.util import find_spec
from pathlib import Path
import mlflow, pandas as pd
assert not [name for name in ("goodbad_pipeline", "kedro") if find_spec(name)]
files = pd.DataFrame({"image": sorted(map(str, Path(sys.argv[2]).iterdir()))})
predictions = mlflow.pyfunc.load_model(sys.argv[1]).predict(files)
print(json.dumps(predictions.to_dict("records")))
"""


@pytest.fixture(scope="module")
def plain(registered: str, tmp_path_factory) -> Path:
    """The Python of a fresh virtual environment with the model's own requirements.txt."""
    mlflow.set_tracking_uri(registered)
    requirements = mlflow.pyfunc.get_model_dependencies(URI)
    place = tmp_path_factory.mktemp("plain") / "venv"
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    python = place / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", requirements], check=True)
    return python


def test_it_loads_and_answers_as_here(plain: Path, tracking: str, folder: Path) -> None:
    clean = {name: value for name, value in environment(tracking).items() if name != "PYTHONPATH"}
    command = [plain, "-c", SCRIPT, URI, folder]
    done = subprocess.run(command, env=clean, cwd=plain.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    served = json.loads(done.stdout.splitlines()[-1])
    expected = load_champion("goodbad").classifier.classify([file.read_bytes() for file in sorted(folder.iterdir())])
    for one, own in zip(served, expected.to_dict("records"), strict=True):
        assert (one["label"], one["abstained"], one["reason"]) == (own["label"], own["abstained"], own["reason"])
        if own["label"]:
            assert one["probabilities"] == pytest.approx(own["probabilities"], abs=1e-5)
