"""The process of an arm: started, warmed up, then asked for one sample after another over a pipe."""

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

Side = Literal["ours", "reference"]
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def start(benchmark: Benchmark, side: Side, folder: Path) -> "KeptWorker | FreshWorker":
    """Start what samples an arm; see :func:`benchmarks.harness.measure`."""
    return FreshWorker(benchmark, side, folder) if benchmark.fresh else KeptWorker(benchmark, side, folder)


class KeptWorker:
    """One process that runs an arm as often as it is asked to; it is warmed up when it is there."""

    def __init__(self, benchmark: Benchmark, side: Side, folder: Path) -> None:
        threads = {name: str(os.cpu_count()) for name in _THREADS}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.workers", benchmark.file, benchmark.name, side, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **threads},
        )
        self._answer()

    def sample(self) -> Sample:
        """Run the arm once."""
        assert self._process.stdin is not None
        print("run", file=self._process.stdin, flush=True)
        return Sample(**json.loads(self._answer()))

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"an arm ended with status {self._process.wait()}; its message is above")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class FreshWorker:
    """A new process for every sample: for what a process does only once."""

    def __init__(self, *arm: object) -> None:
        self._arm = arm

    def sample(self) -> Sample:
        """Run the arm once in a process of its own, warm-up included."""
        with KeptWorker(*self._arm) as worker:  # type: ignore[arg-type]
            return worker.sample()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


def find(file: str, name: str) -> Benchmark:
    """The benchmark of that name in a module."""
    return next(benchmark for benchmark in import_module(file).BENCHMARKS if benchmark.name == name)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _take(run: Run) -> Sample:
    started, cpu = time.perf_counter(), _cpu()
    run()
    seconds, cpu = time.perf_counter() - started, _cpu() - cpu
    return Sample(seconds, cpu, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> None:
    """Serve one arm until the pipe is closed."""
    file, name, side, folder = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    benchmark = find(file, name)
    run = getattr(benchmark, side)(Path(folder))
    if benchmark.warm_up:
        run()
    print("ready", file=answers, flush=True)
    for _ in sys.stdin:
        print(json.dumps(vars(_take(run))), file=answers, flush=True)


if __name__ == "__main__":
    main()
