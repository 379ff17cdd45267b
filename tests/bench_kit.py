"""A benchmark whose arms write down which process they ran in."""

import os
import sys
from pathlib import Path

from benchmarks.harness import Benchmark, Run


def _noting(name: str):
    def arm(folder: Path) -> Run:
        def run() -> None:
            sys.stdout.write("libraries print what they like\n")
            with (folder / name).open("a") as file:
                file.write(f"{os.getpid()}\n")

        return run

    return arm


BENCHMARKS = [
    Benchmark(__name__, "kept", "ours / theirs", _noting("ours"), _noting("reference"), None),
    Benchmark(__name__, "fresh", "ours / theirs", _noting("ours"), _noting("reference"), None, fresh=True),
    Benchmark(__name__, "cold", "ours / theirs", _noting("ours"), _noting("reference"), None, warm_up=False),
]
