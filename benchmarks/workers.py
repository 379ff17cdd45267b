"""Processes of arms: started, warmed up, and controlled over a pipe."""

import json
import os
import resource
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Literal, Self

from benchmarks.harness import Benchmark, Run, Sample

Side = Literal["project", "reference"]
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def start(benchmark: Benchmark, side: Side, folder: Path) -> "KeptWorker | FreshWorker":
    """Start the worker of an arm; see :func:`benchmarks.harness.measure`."""
    return FreshWorker(benchmark, side, folder) if benchmark.fresh else KeptWorker(benchmark, side, folder)


class KeptWorker:
    """One warmed-up process for all samples of an arm."""

    def __init__(self, benchmark: Benchmark, side: Side, folder: Path) -> None:
        threads = {name: str(os.cpu_count()) for name in _THREADS}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.workers", benchmark.file, benchmark.name, side, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **threads},
        )
        self._read_line()

    def sample(self) -> Sample:
        """Run the arm once."""
        assert self._process.stdin is not None
        print("run", file=self._process.stdin, flush=True)
        return Sample(**json.loads(self._read_line()))

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"an arm ended with status {self._process.wait()}; its output above gives the cause")
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class FreshWorker:
    """A new process for every sample, for work that a process does only once."""

    def __init__(self, *arm: object) -> None:
        self._arm = arm

    def sample(self) -> Sample:
        """Start a process, warm it up, and run the arm once."""
        with KeptWorker(*self._arm) as worker:  # type: ignore[arg-type]
            return worker.sample()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


def find(file: str, name: str) -> Benchmark:
    """Return the benchmark of that name in a module."""
    return next(benchmark for benchmark in import_module(file).BENCHMARKS if benchmark.name == name)


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _measure(run: Run) -> Sample:
    started, cpu = time.perf_counter(), _cpu_seconds()
    run()
    seconds, cpu = time.perf_counter() - started, _cpu_seconds() - cpu
    return Sample(seconds, cpu, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> None:
    """Serve one arm until the pipe is closed."""
    file, name, side, folder = sys.argv[1:]
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # keeps the output of libraries out of the pipe
    benchmark = find(file, name)
    run = getattr(benchmark, side)(Path(folder))
    if benchmark.warm_up:
        run()
    print("ready", file=output, flush=True)
    for _ in sys.stdin:
        print(json.dumps(vars(_measure(run))), file=output, flush=True)


if __name__ == "__main__":
    main()
