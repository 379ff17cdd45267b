"""``python -m benchmarks.gpu``: compare training and inference on a GPU with its ceilings and with PyTorch.

Measures EfficientNet B0 and B4 at several batch sizes, in images per second, and the matrix and bandwidth ceilings.
With torchvision installed, measures its B0 too (channels_last, bfloat16, torch.compile). Each arm runs in its own
process, which frees its memory. Writes a table and the numbers. KERAS_BACKEND=jax measures JAX.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu_arms import CEILINGS, measure_arm
from goodbad_pipeline.networks.complexity import Complexity, count_complexity
from goodbad_pipeline.networks.scaling import resolve_scale

Row = dict[str, Any]
VARIANTS, BATCHES = ("b0", "b4"), (16, 64, 256, 1024)
BYTES = 2  # per number under mixed precision
PASSES = {"inference": 1, "training": 3}  # forward, and backward to inputs and to weights
TOUCHES = {"inference": 2, "training": 6}
"""Minimum number of memory transfers per output of a convolution: one write and one read in each pass."""


def main(arguments: Sequence[str] | None = None, measure: Callable[[Row], Row] | None = None) -> None:
    """Measure the chosen networks; write ``gpu.json`` and ``gpu.md`` into a folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.partition("\n")[0])
    parser.add_argument("--variants", nargs="+", default=VARIANTS)
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--seconds", type=float, default=5.0, help="minimum duration of each measurement")
    parser.add_argument("--out", type=Path, default=Path("benchmarks"))
    parser.add_argument("--arm", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.arm is not None:
        print(json.dumps(measure_arm(options.arm)))
        return
    rows = [(measure or _run_in_process)(arm) for arm in plan(options.variants, options.batches, options.seconds)]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "gpu.json").write_text(json.dumps(rows, indent=2))
    (options.out / "gpu.md").write_text(table(rows))
    torch = [row for row in rows if row["arm"] == "torch"]
    if torch and not any("rate" in row for row in torch):
        why = ", ".join(sorted({row.get("why", "no reason given") for row in torch}))
        print(f"benchmarks.gpu: PyTorch not measured ({why}); it needs torch and torchvision", file=sys.stderr)
    if unmeasured := [row["arm"] for row in rows if "rate" not in row and row["arm"] in CEILINGS]:
        sys.exit(f"benchmarks.gpu: ceiling of {' and '.join(unmeasured)} not measured; see gpu.json")
    if not any("rate" in row for row in rows if row["arm"] == "project"):
        sys.exit("benchmarks.gpu: no network of this project was measured; see gpu.json")


def plan(variants: Iterable[str], batches: Iterable[int], seconds: float) -> list[Row]:
    """List the arms: the ceilings, and each network, mode and batch size; B0 by PyTorch too."""
    arms: list[Row] = [{"arm": name, "seconds": seconds} for name in CEILINGS]
    for variant in variants:
        for batch in batches:
            for mode in PASSES:
                setting = {"variant": variant, "mode": mode, "batch": batch, "seconds": seconds}
                names = ("project", "torch") if variant == "b0" else ("project",)
                arms += [{"arm": name, **setting} for name in names]
    return arms


def table(rows: Sequence[Row]) -> str:
    """Return a table by network, mode and batch size, with shares of both ceilings and the ratio to PyTorch."""
    ceilings = {row["arm"]: row.get("rate") for row in rows if row["arm"] in CEILINGS}
    measured = {_key(row): row for row in rows if row["arm"] not in CEILINGS}
    lines = [
        f"{next((row['device'] for row in rows if row.get('device')), 'unknown device')}: "
        f"{_number(ceilings.get('matrix'), 1e12)} TFLOP/s in bfloat16 products, "
        f"{_number(ceilings.get('bandwidth'), 1e9)} GB/s of memory, measured in this run.",
        "",
        "| network | mode | batch | images/s | of matrix ceiling | of bandwidth ceiling | PyTorch | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    project = {key: row for key, row in measured.items() if key[0] == "project"}
    lines += [_line(row, measured.get(("torch", *key[1:])), ceilings) for key, row in project.items()]
    return "\n".join([*lines, ""])


def _line(row: Row, torch: Row | None, ceilings: Mapping[str, float | None]) -> str:
    rate, cost = row.get("rate"), _cost(row["variant"])
    matrix, bandwidth = ceilings.get("matrix"), ceilings.get("bandwidth")
    work = 2 * cost.macs * PASSES[row["mode"]]
    traffic = cost.activations * BYTES * TOUCHES[row["mode"]]
    torch_rate = None if torch is None else torch.get("rate")
    cells = [
        row["variant"].upper(),
        row["mode"],
        str(row["batch"]),
        _number(rate) if rate else row.get("why", "–"),
        _share(rate, work, matrix),
        _share(rate, traffic, bandwidth),
        _number(torch_rate) if torch_rate or torch is None else torch.get("why", "–"),
        f"{rate / torch_rate:.2f}" if rate and torch_rate else "–",
    ]
    return f"| {' | '.join(cells)} |"


def _cost(variant: str) -> Complexity:
    return count_complexity(resolve_scale(variant=variant))


def _key(row: Row) -> tuple[str, str, str, int]:
    return row["arm"], row["variant"], row["mode"], row["batch"]


def _share(rate: float | None, each: float, ceiling: float | None) -> str:
    return f"{rate * each / ceiling:.1%}" if rate and ceiling else "–"


def _number(value: float | None, unit: float = 1.0) -> str:
    return "–" if value is None else f"{value / unit:,.0f}"


def _run_in_process(arm: Row) -> Row:
    command = [sys.executable, "-m", "benchmarks.gpu", "--arm", json.dumps(arm)]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    print(f"{arm}: {done.stdout.strip().splitlines()[-1:] or done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
    if done.returncode == 0:
        return json.loads(done.stdout.strip().splitlines()[-1])
    return {**arm, "why": _reason(done.stderr)}


def _reason(errors: str) -> str:
    memory = any(sign in errors for sign in ("OOM", "out of memory", "ResourceExhausted", "RESOURCE_EXHAUSTED"))
    return "out of memory" if memory else (errors.strip().splitlines() or ["failed"])[-1][:80].replace("|", "/")


if __name__ == "__main__":
    main()
