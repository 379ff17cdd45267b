"""A registered model that costs nothing to make, and good and bad files to predict."""

from pathlib import Path

import mlflow
import numpy as np
import pytest
from factories import encoded, make_image
from serving_kit import CLASSES, SIDE, small_model


@pytest.fixture(scope="session")
def files() -> dict[str, bytes]:
    """200 files by name, of the formats that are read and of most reasons why one is not."""
    found = {}
    for index in range(160):
        image = make_image(index, bright=bool(index % 2), side=20 + index % 30)
        form = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")[index % 6]
        found[f"image_{index:03}.{form.lower()}"] = encoded(image, form)
    whole = encoded(make_image(500, bright=True, side=100), "JPEG")
    for index in range(10):
        found[f"cut_{index}.jpg"] = whole[: len(whole) // 2 + 7 * index]
        found[f"text_{index}.png"] = f"nothing to see {index}".encode()
        found[f"huge_{index}.png"] = encoded(make_image(index, bright=True, side=150 + index))
        found[f"empty_{index}.gif"] = b""
    return found


@pytest.fixture(scope="session")
def registered(tmp_path_factory) -> str:
    """The tracking URI of a store whose champion is `small_model`, with a temperature and an abstention of its own."""
    from goodbad_pipeline.evaluation.decision import Calibration
    from goodbad_pipeline.images.pixels import Transform
    from goodbad_pipeline.registry.models import CHAMPION, log_model

    folder = tmp_path_factory.mktemp("registry")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    mlflow.create_experiment("serving", artifact_location=str(folder / "mlartifacts"))
    mlflow.set_experiment("serving")
    calibration = Calibration(CLASSES, temperature=1.5, threshold=0.45, abstain_below=0.7)
    transform = Transform(SIDE, "pad", (255, 255, 255), 120 * 120, tiff=True, shrink_on_load=True)
    with mlflow.start_run():
        number = log_model(small_model(), "goodbad", calibration, transform, np.zeros((SIDE, SIDE, 3), np.uint8))
    mlflow.MlflowClient().set_registered_model_alias("goodbad", CHAMPION, number)
    return uri


@pytest.fixture
def tracking(registered: str) -> str:
    mlflow.set_tracking_uri(registered)
    return registered


@pytest.fixture
def folder(files: dict[str, bytes], tmp_path: Path) -> Path:
    root = tmp_path / "files"
    root.mkdir()
    for name, data in files.items():
        (root / name).write_bytes(data)
    return root
