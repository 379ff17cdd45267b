"""Three epochs of the classifier on features that are computed once, against the same through the whole network."""

from pathlib import Path

from benchmarks.harness import Benchmark, Run

COUNT, VALIDATION, SIDE, BATCH, EPOCHS = 256, 64, 128, 32, 3


def _project(_: Path) -> Run:
    from dataclasses import replace  # noqa: PLC0415

    import numpy as np  # noqa: PLC0415

    from benchmarks.training_arms import RECIPE, images, network  # noqa: PLC0415 - starts TensorFlow
    from goodbad_pipeline.images.labelled_pixels import LabelledPixels  # noqa: PLC0415
    from goodbad_pipeline.training.train import fit_model  # noqa: PLC0415

    pixels, y_true = images(COUNT + VALIDATION, SIDE)
    rows = np.arange(len(pixels))
    train = LabelledPixels(pixels, rows[:COUNT], y_true[:COUNT], 2, rows[:COUNT])
    validation = LabelledPixels(pixels, rows[COUNT:], y_true[COUNT:], 2, rows[COUNT:])
    recipe = replace(RECIPE, batch_size=BATCH, head_epochs=EPOCHS, epochs=0, patience=EPOCHS)
    model = network("efficientnet_lite", SIDE)
    return lambda: fit_model(model, train, validation, recipe, pretrained=True)


def _whole_network(_: Path) -> Run:
    import numpy as np  # noqa: PLC0415

    from benchmarks.training_arms import RECIPE, SCHEDULE, images, network, one_hot  # noqa: PLC0415
    from goodbad_pipeline.training.optimizers import compile_model  # noqa: PLC0415

    pixels, y_true = images(COUNT + VALIDATION, SIDE)
    x, y = pixels.astype(np.float32), one_hot(y_true)
    model, validation = network("efficientnet_lite", SIDE), (x[COUNT:], y[COUNT:])
    for layer in model.layers:
        layer.trainable = layer.name == "predictions"

    def run() -> None:
        compile_model(model, RECIPE, RECIPE.head_learning_rate, **SCHEDULE)
        model.fit(x[:COUNT], y[:COUNT], batch_size=BATCH, epochs=EPOCHS, verbose=0, validation_data=validation)

    return run


BENCHMARKS = [
    Benchmark(
        file=__name__,
        name="head_phase",
        compares="head phase of 3 epochs on features computed once / through the whole network (Lite0, 128 px)",
        project=_project,
        reference=_whole_network,
        target=2.5,
    )
]
