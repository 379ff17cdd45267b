"""The predict pipeline against a bare `model.predict` fed by Pillow: 640-pixel JPEGs, Lite0 at 128 pixels.

The project does what `kedro run --pipeline=predict` does once its model is loaded, without MLflow: strict decoding,
digests, predictions, Parquet, CSV, quarantine, summary and contact sheet. The reference decodes, resizes and predicts.
Loading the model does not count.
"""

from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import Benchmark, Run
from benchmarks.photos import write_photos

COUNT, SIDE, BATCH = 512, 128, 64
CLASSES = ("bad", "good")


def _project(folder: Path, *, backend: str) -> Run:
    from goodbad_pipeline.evaluation.decision import Calibration  # noqa: PLC0415
    from goodbad_pipeline.images.pixels import Transform  # noqa: PLC0415
    from goodbad_pipeline.images.sources import PathStream  # noqa: PLC0415
    from goodbad_pipeline.serving.batch_prediction import PredictionStream  # noqa: PLC0415
    from goodbad_pipeline.serving.classifier import Classifier  # noqa: PLC0415

    write_photos(folder / "photos", COUNT)
    transform = Transform(SIDE, "pad", (255, 255, 255), 10**7, shrink_on_load=True)
    classifier = Classifier(_network(folder / "model", backend), transform, Calibration(CLASSES))
    return partial(
        _predict, PredictionStream(PathStream(folder / "photos", None, "path"), classifier), folder / backend
    )


def _predict(stream: Any, outputs: Path) -> None:
    """Run the pipeline's nodes and datasets in order."""
    import yaml  # noqa: PLC0415

    from benchmarks.projects import PROJECT  # noqa: PLC0415
    from goodbad_pipeline.datasets import FigureDataset, JSONDataset, TableStreamDataset  # noqa: PLC0415
    from goodbad_pipeline.params import ImageParams, PredictParams  # noqa: PLC0415
    from goodbad_pipeline.pipelines.prediction import nodes  # noqa: PLC0415

    files = [PROJECT / f"conf/base/parameters_{name}.yml" for name in ("predict", "data")]
    groups = [yaml.safe_load(file.read_text()) for file in files]
    predict = PredictParams(**{**groups[0]["predict"], "source": str(stream.paths.root)})
    predictions = TableStreamDataset(filepath=str(outputs / "predictions.parquet"))
    predictions.save(stream)
    table, quarantined = nodes.separate_quarantine(predictions.load())
    TableStreamDataset(filepath=str(outputs / "predictions.csv")).save(table)
    TableStreamDataset(filepath=str(outputs / "quarantine.csv")).save(quarantined)
    JSONDataset(filepath=str(outputs / "summary.json")).save(nodes.summarise_predictions(predictions.load()))
    sheet = nodes.draw_predictions(predictions.load(), predict, ImageParams(**groups[1]["images"]))
    FigureDataset(filepath=str(outputs / "sheet.png"), save_args={"dpi": 100}).save(sheet)


def _bare(folder: Path) -> Run:
    import numpy as np  # noqa: PLC0415
    from PIL import Image, ImageOps  # noqa: PLC0415

    files, model = write_photos(folder / "photos", COUNT), _model(folder / "model")

    def run() -> None:
        images = [ImageOps.pad(Image.open(file).convert("RGB"), (SIDE, SIDE)) for file in files]
        model.predict(np.stack([np.asarray(image) for image in images]), batch_size=BATCH, verbose=0)

    return run


def _network(folder: Path, backend: str) -> Any:
    """Load the network for a backend; the first call exports it for all."""
    from goodbad_pipeline.serving.runtimes import KERAS, RUNTIMES, load_network  # noqa: PLC0415

    if backend == KERAS:
        return _model(folder)
    if not (folder / RUNTIMES[backend].file).is_file():
        from benchmarks.training_arms import images  # noqa: PLC0415
        from goodbad_pipeline.exporting.converting import convert_model  # noqa: PLC0415

        for name, content in convert_model(_model(folder), images(32, SIDE)[0]).items():
            (folder / RUNTIMES[name].file).write_bytes(content)
    return load_network(backend, folder)


def _model(folder: Path) -> Any:
    """Load the Keras model of all arms, stored in a file."""
    import keras  # noqa: PLC0415

    from benchmarks.training_arms import network  # noqa: PLC0415

    file = folder / "model.keras"
    if not file.is_file():
        folder.mkdir(exist_ok=True)
        network("efficientnet_lite", SIDE).save(file)
    return keras.models.load_model(file)


BENCHMARKS = [
    Benchmark(
        file=__name__,
        name=f"predict_{backend}",
        compares=f"predict pipeline by {backend}, no MLflow / model.predict fed by Pillow (640 px JPEGs, Lite0 at 128)",
        project=partial(_project, backend=backend),
        reference=_bare,
        target=target,
    )
    for backend, target in (("keras", 1.0), ("onnx", None), ("litert_int8", 2.0))
]
