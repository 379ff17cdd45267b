"""The GPU benchmark without a GPU: its plan, clock and table, and its arms on a CPU."""

import json
import sys
from pathlib import Path

import pytest
from factories import PROJECT

sys.path.insert(0, str(PROJECT))

from benchmarks import gpu, gpu_arms

MATRIX, BANDWIDTH = 1e15, 4e12


def fake_measure(arm: dict) -> dict:
    """Return fixed rates of an imaginary GPU, which runs out of memory at a batch size of 1024."""
    ceilings = {"matrix": MATRIX, "bandwidth": BANDWIDTH}
    if arm["arm"] in ceilings:
        return {**arm, "rate": ceilings[arm["arm"]], "device": "a GPU"}
    if arm["batch"] == 1024:
        return {**arm, "why": "out of memory"}
    return {**arm, "rate": 3000.0 if arm["arm"] == "project" else 2000.0}


def test_table_shows_shares_of_ceilings_and_the_ratio_to_pytorch(tmp_path: Path) -> None:
    gpu.main(["--out", str(tmp_path), "--batches", "64", "1024"], fake_measure)
    rows = json.loads((tmp_path / "gpu.json").read_text())
    assert len(rows) == 2 + 2 * (2 * 2 + 2)
    lines = (tmp_path / "gpu.md").read_text().splitlines()
    assert lines[0] == "a GPU: 1,000 TFLOP/s in bfloat16 products, 4,000 GB/s of memory, measured in this run."
    cells = {tuple(line.split(" | ")[:3]): line.strip("| ").split(" | ") for line in lines[4:]}
    row = cells["| B0", "training", "64"]
    macs = gpu._cost("b0").macs
    assert row[3:5] == ["3,000", f"{3000 * 6 * macs / MATRIX:.1%}"]
    assert row[6:] == ["2,000", "1.50"]
    assert cells["| B0", "training", "1024"][3:] == ["out of memory", "–", "–", "out of memory", "–"]
    assert cells["| B4", "inference", "64"][6:] == ["–", "–"]


def test_rate_excludes_the_warm_up() -> None:
    now, durations = [0.0], iter([100.0] * gpu_arms.WARM_UP + [2.0] * 50)

    def step() -> None:
        now[0] += next(durations)

    assert gpu_arms.rate_of(step, 8, seconds=9, clock=lambda: now[0]) == pytest.approx(4.0)


def test_reason_of_a_failure_is_one_short_line() -> None:
    assert gpu._reason("…\nResourceExhaustedError: OOM when allocating") == "out of memory"
    assert gpu._reason("line\nValueError: a | b") == "ValueError: a / b"
    assert gpu._reason("") == "failed"


@pytest.mark.parametrize(
    ("measured", "why"),
    [
        (("matrix",), "ceiling of bandwidth not measured"),
        (("project",), "ceiling of matrix and bandwidth not measured"),
        (("matrix", "bandwidth", "torch"), "no network of this project was measured"),
    ],
)
def test_run_fails_without_a_ceiling_or_a_network(tmp_path: Path, measured: tuple[str, ...], why: str) -> None:
    def broken(arm: dict) -> dict:
        return fake_measure(arm) if arm["arm"] in measured else {**arm, "why": "ModuleNotFoundError"}

    with pytest.raises(SystemExit, match=why):
        gpu.main(["--out", str(tmp_path), "--variants", "b0", "--batches", "64"], broken)
    assert "B0" in (tmp_path / "gpu.md").read_text()


@pytest.mark.parametrize("installed", [True, False])
def test_missing_rate_of_pytorch_is_reported(tmp_path: Path, capsys, installed: bool) -> None:
    def measure(arm: dict) -> dict:
        return fake_measure(arm) if installed or arm["arm"] != "torch" else {**arm, "why": "not installed"}

    gpu.main(["--out", str(tmp_path), "--variants", "b0", "--batches", "64"], measure)
    message = "PyTorch not measured (not installed); it needs torch and torchvision"
    assert (message in capsys.readouterr().err) != installed


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
@pytest.mark.parametrize(
    "arm",
    [
        {"arm": "matrix", "size": 64},
        {"arm": "bandwidth", "size": 64},
        {"arm": "project", "variant": "b0", "mode": "inference", "batch": 2, "resolution": 32},
        {"arm": "project", "variant": "b0", "mode": "training", "batch": 2, "resolution": 32},
        {"arm": "torch", "variant": "b0", "mode": "training", "batch": 2, "resolution": 32},
    ],
)
def test_every_arm_runs_on_a_cpu(arm: dict, backend: str, monkeypatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", backend)
    row = gpu._run_in_process({**arm, "seconds": 0.1})
    if arm["arm"] == "torch":
        assert row.get("why") == "not installed" or row["rate"] > 0, row
    else:
        assert row["rate"] > 0, row


@pytest.mark.gpu
def test_benchmark_runs_on_a_gpu(tmp_path: Path) -> None:
    gpu.main(["--out", str(tmp_path), "--variants", "b0", "--batches", "64", "--seconds", "1"])
    rows = json.loads((tmp_path / "gpu.json").read_text())
    assert all(row["rate"] > 0 for row in rows if row["arm"] != "torch")
    assert rows[0]["device"]
