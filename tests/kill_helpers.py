"""Run a pipeline that kills itself: ``python kill_helpers.py PROJECT PIPELINE [POINT [NUMBER]]``.

The network is one convolution. POINT is where SIGKILL is sent: ``step`` (during step NUMBER), ``save`` (after writing
checkpoint NUMBER, before its rename), ``model`` (after storing the trained network), ``scan`` (after reading NUMBER
files) or ``draft`` (after writing the labels, before their rename).
"""

import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli_runner import kedro_run


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_soon(*_: object) -> None:
    """Send SIGKILL from another thread, a few milliseconds into a step."""
    threading.Thread(target=lambda: (time.sleep(0.003), die())).start()


def around(
    owner: Any, name: str, number: int, *, before: Callable = lambda *_: None, after: Callable = lambda *_: None
):
    """Replace a function by one that calls ``before`` and ``after`` around its call NUMBER (1, 2, …)."""
    count, real = itertools.count(1), getattr(owner, name)

    def counted(*arguments, **options):
        reached = next(count) == number
        if reached:
            before(*arguments)
        result = real(*arguments, **options)
        if reached:
            after(*arguments)
        return result

    setattr(owner, name, counted)


def in_training(point: str, number: int) -> None:
    import keras
    from tiny_training import tiny_network

    import goodbad_pipeline.networks.model
    from goodbad_pipeline.datasets import KerasModelDataset
    from goodbad_pipeline.training import checkpoints

    goodbad_pipeline.networks.model.build_network = lambda *_, **__: tiny_network(48)
    if point == "step":
        around(keras.Model, "train_on_batch", number, before=die_soon)
    if point == "save":
        around(checkpoints, "_write", number, after=die)
    if point == "model":
        around(KerasModelDataset, "save", 1, after=die)


def in_ingestion(point: str, number: int) -> None:
    from goodbad_pipeline import atomic_files
    from goodbad_pipeline.images.scan_cache import ScanCache

    def die_of_labels(draft: Path) -> None:
        if draft.name.endswith("labels.parquet"):
            die()

    if point == "scan":
        around(ScanCache, "append", number, after=lambda cache, *_: (cache.flush(), die()))
    if point == "draft":
        real = atomic_files._flush
        atomic_files._flush = lambda draft: (real(draft), die_of_labels(draft))


if __name__ == "__main__":
    project, pipeline, *rest = sys.argv[1:]
    point, number = [*rest, *["nowhere", "1"][len(rest) :]]
    (in_ingestion if pipeline == "data" else in_training)(point, int(number))
    kedro_run(Path(project), pipeline)
