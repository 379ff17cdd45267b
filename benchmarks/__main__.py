"""``python -m benchmarks [name …] [--pairs n]``: measure all, or those whose names begin so, and keep what came out."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from benchmarks import FILES
from benchmarks.harness import Benchmark, measure, together
from benchmarks.results import read, record, row, write
from benchmarks.workers import start

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Measure one benchmark after another; each is written down as soon as it is there."""
    parser = argparse.ArgumentParser("benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of names; none for all")
    parser.add_argument("--pairs", type=int, help="default: 7, of what takes minutes 3")
    options = parser.parse_args()
    for group in together(_chosen(options.names)):
        ratios = measure(group, start, options.pairs)
        measured = {one.name: record(one, ratio) for one, ratio in zip(group, ratios, strict=True)}
        print(*map(row, measured.values()), sep="\n", flush=True)
        entries = {**read(ROOT / "benchmarks/results.json"), **measured}
        write(entries, ROOT / "benchmarks/results.json", ROOT / "docs/results.md")


def _chosen(names: list[str]) -> list[Benchmark]:
    every = [benchmark for file in FILES for benchmark in import_module(f"benchmarks.{file}").BENCHMARKS]
    unknown = [name for name in names if not any(one.name.startswith(name) for one in every)]
    if unknown:
        sys.exit(f"benchmarks: '{unknown[0]}' is unknown; there are {', '.join(one.name for one in every)}")
    return [one for one in every if not names or one.name.startswith(tuple(names))]


main()
