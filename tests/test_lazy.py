import os
import subprocess
import sys

import pytest

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
def test_tensorflow_writes_nothing_to_stderr_on_a_cpu() -> None:
    code = """
import goodbad_pipeline.settings
from goodbad_pipeline import lazy
assert lazy.load("goodbad_pipeline.training.devices").count_gpus() == 0
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
