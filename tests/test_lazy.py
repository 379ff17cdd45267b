import os
import subprocess
import sys
from pathlib import Path

import pytest
from serving_kit import SIDE, small_model

from goodbad_pipeline import lazy


def test_only_what_tensorflow_writes_for_information_is_dropped_during_an_import(tmp_path, monkeypatch, capfd) -> None:
    lines = [
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
        "I0000 00:00:1796070118.398139   15428 port.cc:153] oneDNN custom operations are on.",
        "E0000 00:00:1796070123.353883   15428 dso_loader.cc:52] Cannot load libcudart.so",
        "a warning of another library",
    ]
    text = "".join(f"{line}\n" for line in lines)
    (tmp_path / "noisy_module.py").write_text(f"import os\nos.write(2, {text.encode()!r})\nVALUE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "noisy_module", raising=False)
    module = lazy.load("noisy_module")
    assert (module.VALUE, module.VALUE) == (1, 1)
    assert capfd.readouterr().err.splitlines() == lines[2:]


@pytest.mark.skipif(os.path.exists("/proc/driver/nvidia"), reason="with a GPU, TensorFlow describes it")
@pytest.mark.no_cover
@pytest.mark.parametrize(
    "use",
    [
        "assert lazy.load('goodbad_pipeline.training.devices').count_gpus() == 0",
        f"load_archive(Path('model.keras')).predict_on_batch(numpy.zeros((1, {SIDE}, {SIDE}, 3)))",
    ],
)
def test_tensorflow_writes_nothing_to_stderr_on_a_cpu(use: str, tmp_path: Path, monkeypatch) -> None:
    small_model().save(tmp_path / "model.keras")
    monkeypatch.chdir(tmp_path)
    code = f"""
from pathlib import Path
import numpy
from goodbad_pipeline import lazy
from goodbad_pipeline.serving.archive import load_archive
{use}
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
