"""Epochs of `kedro run --pipeline=train` against a bare fit of the same network on tensors in memory.

Ours validates, writes a checkpoint and tells MLflow; fit validates. Fit has no way to change images, so that ours
does not in the one that has a target; beside it, with the augmentation that is the default.
"""

from functools import partial
from pathlib import Path

from benchmarks.harness import Benchmark, Run

SIDE, BATCH = 128, 32
TRAIN, VALIDATION = 320, 64
EPOCHS = 3


def _ours(folder: Path, *, augmented: bool) -> Run:
    import mlflow  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    from benchmarks.training_arms import (  # noqa: PLC0415 - starts TensorFlow
        CHANGES,
        images,
        network,
        through_the_loop,
    )
    from goodbad_pipeline import tracking  # noqa: PLC0415
    from goodbad_pipeline.datasets import EpochLogDataset  # noqa: PLC0415
    from goodbad_pipeline.evaluation.metrics import validation_metrics  # noqa: PLC0415
    from goodbad_pipeline.training.batches import predict  # noqa: PLC0415
    from goodbad_pipeline.training.checkpoints import CheckpointStore  # noqa: PLC0415
    from goodbad_pipeline.training.progress import ProgressReporter  # noqa: PLC0415
    from goodbad_pipeline.training.saving import Checkpointing, Saver  # noqa: PLC0415

    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    tracking.begin_run(tracking.Outbox(folder / "outbox", uri), mlflow.start_run().info.run_id)
    model = network("efficientnet_lite", SIDE, frozen=True)
    seen, y_true = images(VALIDATION, SIDE)
    return through_the_loop(
        model,
        *images(TRAIN, SIDE),
        batch_size=BATCH,
        epochs=EPOCHS,
        validate=lambda check_stop: validation_metrics(
            y_true, predict(model, seen, np.arange(VALIDATION), check_stop=check_stop), 0.0
        ),
        saver=Saver(Checkpointing(CheckpointStore(folder / "checkpoints"), {}, resume=False), model),
        report=ProgressReporter(EpochLogDataset().load()),
        augmentation=CHANGES if augmented else None,
    )


def _bare(_: Path) -> Run:
    import numpy as np  # noqa: PLC0415

    from benchmarks.training_arms import by_fit, images, network, one_hot  # noqa: PLC0415

    seen, y_true = images(VALIDATION, SIDE)
    validation = (seen.astype(np.float32), one_hot(y_true))
    model = network("efficientnet_lite", SIDE, frozen=True)
    return by_fit(model, *images(TRAIN, SIDE), batch_size=BATCH, epochs=EPOCHS, validation=validation)


BENCHMARKS = [
    Benchmark(
        file=__name__,
        name=name,
        compares=f"epochs with checkpoint and MLflow{told} / bare fit of the same network (Lite0, 128 px, batch 32)",
        ours=partial(_ours, augmented=augmented),
        reference=_bare,
        target=target,
    )
    for name, told, augmented, target in (
        ("epoch", "", False, 0.97),
        ("epoch_augmented", " and augmentation", True, None),
    )
]
