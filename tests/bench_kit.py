"""Benchmarks whose arms record the process in which they ran."""

import os
import sys
from pathlib import Path

from benchmarks.harness import Benchmark, Run


def _recording(name: str):
    def arm(folder: Path) -> Run:
        def run() -> None:
            sys.stdout.write("output of a library\n")
            with (folder / name).open("a") as file:
                file.write(f"{os.getpid()}\n")

        return run

    return arm


def _benchmark(name: str, **options: bool) -> Benchmark:
    return Benchmark(
        __name__, name, "project / reference", _recording("project"), _recording("reference"), None, **options
    )


BENCHMARKS = [_benchmark("kept"), _benchmark("fresh", fresh=True), _benchmark("cold", warm_up=False)]
