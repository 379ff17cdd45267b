"""Peak memory of training EfficientNet-B0 at 224 pixels, batch 16, against the stock fit."""

from functools import partial

from benchmarks import train_step
from benchmarks.harness import Benchmark

_SETTING = {"side": 224, "batch_size": 16}

BENCHMARKS = [
    Benchmark(
        file=__name__,
        name="memory",
        compares="peak memory of the project's training / of stock fit (B0, 224 px, batch 16)",
        project=partial(train_step.project_step, **_SETTING),
        reference=partial(train_step.stock_fit, **_SETTING),
        target=1.0,
        higher=False,
        quantity="bytes",
        fresh=True,
        warm_up=False,
        pairs=3,  # memory hardly varies, and each sample starts a process
    )
]
