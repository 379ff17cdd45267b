"""What of the GPU benchmark can be held without a GPU: its plan, its clock, its table, and its arms on CPU."""

import json
import sys
from pathlib import Path

import pytest
from factories import PROJECT

sys.path.insert(0, str(PROJECT))

from benchmarks import gpu, gpu_arms

MATRIX, BANDWIDTH = 1e15, 4e12


def answer(arm: dict) -> dict:
    """A GPU on which everything takes as long as a ceiling says."""
    ceilings = {"matrix": MATRIX, "bandwidth": BANDWIDTH}
    if arm["arm"] in ceilings:
        return {**arm, "rate": ceilings[arm["arm"]], "device": "a GPU"}
    if arm["batch"] == 1024:
        return {**arm, "why": "out of memory"}
    return {**arm, "rate": 3000.0 if arm["arm"] == "ours" else 2000.0}


def test_the_table_tells_shares_of_ceilings_and_the_ratio(tmp_path: Path) -> None:
    gpu.main(["--out", str(tmp_path), "--batches", "64", "1024"], answer)
    rows = json.loads((tmp_path / "gpu.json").read_text())
    assert len(rows) == 2 + 2 * (2 * 2 + 2)
    lines = (tmp_path / "gpu.md").read_text().splitlines()
    assert lines[0] == "a GPU: 1,000 TFLOP/s in bfloat16 products, 4,000 GB/s of memory, measured in this run."
    cells = {tuple(line.split(" | ")[:3]): line.strip("| ").split(" | ") for line in lines[4:]}
    found = cells["| B0", "training", "64"]
    macs = gpu._cost("b0").macs
    assert found[3:5] == ["3,000", f"{3000 * 6 * macs / MATRIX:.1%}"]
    assert found[6:] == ["2,000", "1.50"]
    assert cells["| B0", "training", "1024"][3:] == ["out of memory", "–", "–", "out of memory", "–"]
    assert cells["| B4", "inference", "64"][6:] == ["–", "–"]


def test_a_rate_counts_no_warming_up() -> None:
    now, durations = [0.0], iter([100.0] * gpu_arms.WARM_UP + [2.0] * 50)

    def step() -> None:
        now[0] += next(durations)

    assert gpu_arms.rate_of(step, 8, seconds=9, clock=lambda: now[0]) == pytest.approx(4.0)


def test_what_went_wrong_is_said_in_a_few_words() -> None:
    assert gpu._reason("…\nResourceExhaustedError: OOM when allocating") == "out of memory"
    assert gpu._reason("line\nValueError: a | b") == "ValueError: a / b"
    assert gpu._reason("") == "failed"


@pytest.mark.parametrize(
    ("measured", "why"),
    [
        (("matrix",), "no ceiling of bandwidth"),
        (("ours",), "no ceiling of matrix and bandwidth"),
        (("matrix", "bandwidth", "torch"), "no network of ours"),
    ],
)
def test_a_run_that_measured_too_little_fails(tmp_path: Path, measured: tuple[str, ...], why: str) -> None:
    def broken(arm: dict) -> dict:
        return answer(arm) if arm["arm"] in measured else {**arm, "why": "ModuleNotFoundError"}

    with pytest.raises(SystemExit, match=why):
        gpu.main(["--out", str(tmp_path), "--variants", "b0", "--batches", "64"], broken)
    assert "B0" in (tmp_path / "gpu.md").read_text()


@pytest.mark.parametrize("installed", [True, False])
def test_it_says_at_its_end_that_pytorch_has_no_rate(tmp_path: Path, capsys, installed: bool) -> None:
    def measure(arm: dict) -> dict:
        return answer(arm) if installed or arm["arm"] != "torch" else {**arm, "why": "not installed"}

    gpu.main(["--out", str(tmp_path), "--variants", "b0", "--batches", "64"], measure)
    said = "no rate of PyTorch (not installed); it needs torch and torchvision"
    assert (said in capsys.readouterr().err) != installed


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
@pytest.mark.parametrize(
    "arm",
    [
        {"arm": "matrix", "size": 64},
        {"arm": "bandwidth", "size": 64},
        {"arm": "ours", "variant": "b0", "mode": "inference", "batch": 2, "resolution": 32},
        {"arm": "ours", "variant": "b0", "mode": "training", "batch": 2, "resolution": 32},
        {"arm": "torch", "variant": "b0", "mode": "training", "batch": 2, "resolution": 32},
    ],
)
def test_every_arm_runs_on_a_cpu(arm: dict, backend: str, monkeypatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", backend)
    row = gpu._in_a_process({**arm, "seconds": 0.1})
    if arm["arm"] == "torch":
        assert row.get("why") == "not installed" or row["rate"] > 0, row
    else:
        assert row["rate"] > 0, row


@pytest.mark.gpu
def test_the_whole_runs_on_a_gpu(tmp_path: Path) -> None:
    gpu.main(["--out", str(tmp_path), "--variants", "b0", "--batches", "64", "--seconds", "1"])
    rows = json.loads((tmp_path / "gpu.json").read_text())
    assert all(row["rate"] > 0 for row in rows if row["arm"] != "torch")
    assert rows[0]["device"]
