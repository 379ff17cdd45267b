"""The most memory that training EfficientNet-B0 at 224 pixels, batch 16, ever holds, against the stock fit."""

from functools import partial

from benchmarks import train_step
from benchmarks.harness import Benchmark

_SETTING = {"side": 224, "batch_size": 16}

BENCHMARKS = [
    Benchmark(
        file=__name__,
        name="memory",
        compares="peak memory of our training / of stock fit (B0, 224 px, batch 16)",
        ours=partial(train_step.our_step, **_SETTING),
        reference=partial(train_step.stock_fit, **_SETTING),
        target=1.0,
        higher=False,
        quantity="bytes",
        fresh=True,
        warm_up=False,
        pairs=3,  # of what hardly varies, and takes the start of a process each time
    )
]
