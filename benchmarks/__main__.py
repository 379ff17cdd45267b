"""``python -m benchmarks [name …] [--pairs n]``: run all benchmarks, or those whose names begin so."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from benchmarks import FILES
from benchmarks.harness import Benchmark, group_by_reference, measure
from benchmarks.results import read, record, row, write
from benchmarks.workers import start

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Run the chosen benchmarks; record each result as soon as it is measured."""
    parser = argparse.ArgumentParser("benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of benchmark names (default: all)")
    parser.add_argument("--pairs", type=int, help="pairs of runs (default: 7, or 3 for long runs)")
    options = parser.parse_args()
    for group in group_by_reference(_choose(options.names)):
        ratios = measure(group, start, options.pairs)
        measured = {benchmark.name: record(benchmark, ratio) for benchmark, ratio in zip(group, ratios, strict=True)}
        print(*map(row, measured.values()), sep="\n", flush=True)
        entries = {**read(ROOT / "benchmarks/results.json"), **measured}
        write(entries, ROOT / "benchmarks/results.json", ROOT / "docs/results.md")


def _choose(names: list[str]) -> list[Benchmark]:
    benchmarks = [benchmark for file in FILES for benchmark in import_module(f"benchmarks.{file}").BENCHMARKS]
    unknown = [name for name in names if not any(benchmark.name.startswith(name) for benchmark in benchmarks)]
    if unknown:
        known = ", ".join(benchmark.name for benchmark in benchmarks)
        sys.exit(f"benchmarks: no benchmark begins with '{unknown[0]}'; choose from {known}")
    return [one for one in benchmarks if not names or one.name.startswith(tuple(names))]


main()
