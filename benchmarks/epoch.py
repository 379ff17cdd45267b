"""Epochs of `kedro run --pipeline=train` against a bare fit of the same network on tensors in memory.

The project validates, writes checkpoints and logs to MLflow; fit only validates. Fit cannot augment images, so the
benchmark with a target has no augmentation. A second one uses the default augmentation.
"""

from functools import partial
from pathlib import Path

from benchmarks.harness import Benchmark, Run

SIDE, BATCH = 128, 32
TRAIN, VALIDATION = 320, 64
EPOCHS = 3


def _project(folder: Path, *, augmented: bool) -> Run:
    import mlflow  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    from benchmarks.training_arms import (  # noqa: PLC0415 - starts TensorFlow
        AUGMENTATION,
        images,
        network,
        train_by_loop,
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
    pixels, y_true = images(VALIDATION, SIDE)
    return train_by_loop(
        model,
        *images(TRAIN, SIDE),
        batch_size=BATCH,
        epochs=EPOCHS,
        validate=lambda check_stop: validation_metrics(
            y_true, predict(model, pixels, np.arange(VALIDATION), check_stop=check_stop), 0.0
        ),
        saver=Saver(Checkpointing(CheckpointStore(folder / "checkpoints"), {}, resume=False), model),
        report=ProgressReporter(EpochLogDataset().load()),
        augmentation=AUGMENTATION if augmented else None,
    )


def _bare(_: Path) -> Run:
    import numpy as np  # noqa: PLC0415

    from benchmarks.training_arms import images, network, one_hot, train_by_fit  # noqa: PLC0415

    pixels, y_true = images(VALIDATION, SIDE)
    validation = (pixels.astype(np.float32), one_hot(y_true))
    model = network("efficientnet_lite", SIDE, frozen=True)
    return train_by_fit(model, *images(TRAIN, SIDE), batch_size=BATCH, epochs=EPOCHS, validation=validation)


BENCHMARKS = [
    Benchmark(
        file=__name__,
        name=name,
        compares=f"epochs with checkpoint and MLflow{extra} / bare fit of the same network (Lite0, 128 px, batch 32)",
        project=partial(_project, augmented=augmented),
        reference=_bare,
        target=target,
    )
    for name, extra, augmented, target in (
        ("epoch", "", False, 0.97),
        ("epoch_augmented", " and augmentation", True, None),
    )
]
