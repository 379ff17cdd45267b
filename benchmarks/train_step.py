"""The project's train step against the stock fit of keras.applications: EfficientNet-B0, all layers trainable."""

from functools import partial
from pathlib import Path

from benchmarks.harness import Benchmark, Run

STEPS = 4


def project_step(_: Path, *, side: int, batch_size: int) -> Run:
    """Return four steps of the project's B0 in its training loop."""
    from benchmarks.training_arms import images, network, train_by_loop  # noqa: PLC0415 - starts TensorFlow

    model = network("efficientnet", side)
    return train_by_loop(model, *images(STEPS * batch_size, side), batch_size=batch_size)


def stock_fit(_: Path, *, side: int, batch_size: int) -> Run:
    """Return four steps of keras.applications' B0 by fit."""
    import keras  # noqa: PLC0415

    from benchmarks.training_arms import images, train_by_fit  # noqa: PLC0415

    model = keras.applications.EfficientNetB0(weights=None, input_shape=(side, side, 3), classes=2)
    return train_by_fit(model, *images(STEPS * batch_size, side), batch_size=batch_size)


BENCHMARKS = [
    Benchmark(
        file=__name__,
        name=f"train_step_{side}",
        compares=f"the project's train step / stock fit of keras.applications (B0, {side} px, batch {batch_size})",
        project=partial(project_step, side=side, batch_size=batch_size),
        reference=partial(stock_fit, side=side, batch_size=batch_size),
        target=1.3,
    )
    for side, batch_size in ((224, 16), (128, 32))
]
