"""A version that commit 0b686aa registered still loads, predicts the same and stays champion.

`tests/fixtures/registered_by_0b686aa/README.md` describes how it was made. Names of tags, JSON keys and files in it are
fixed: users have such versions in their registries.
"""

import hashlib
import json
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from evaluation_kit import NETWORK, small_model
from factories import PROJECT, parameters
from mlflow.entities import Dataset, DatasetInput, Metric
from PIL import Image

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.metrics import classification_metrics
from goodbad_pipeline.evaluation.predictions import read_predictions
from goodbad_pipeline.network_factory import network_scale
from goodbad_pipeline.networks.architecture import layer_shape
from goodbad_pipeline.networks.net2net import read_shape
from goodbad_pipeline.params import rename_parameters, validate_parameters
from goodbad_pipeline.pipelines.evaluation.nodes import predict_test
from goodbad_pipeline.pipelines.registration import nodes as registration
from goodbad_pipeline.pipelines.training.nodes import cache_pixels
from goodbad_pipeline.registry.models import find_model, load_champion
from goodbad_pipeline.tracking.run_record import labels_digest, read_replay_parameters, read_run

FIXTURE = PROJECT / "tests" / "fixtures" / "registered_by_0b686aa"
SAMPLE = PROJECT / "data" / "01_raw" / "characters"
RECORD = json.loads((FIXTURE / "record.json").read_text())
NAME, TAGS = RECORD["version"]["name"], RECORD["version"]["tags"]
URI = f"models:/{NAME}@champion"
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def restore(folder: Path) -> str:
    """Put the version and its run into a new MLflow store in this folder; return the store's URI."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    client, version, recorded = mlflow.MlflowClient(), RECORD["version"], RECORD["run"]
    experiment = client.create_experiment("goodbad_pipeline", artifact_location=str(folder / "mlartifacts"))
    run = client.create_run(experiment, run_name=recorded["name"], tags=recorded["tags"]).info.run_id
    client.log_batch(run, metrics=[Metric(name, value, 0, 0) for name, value in recorded["metrics"].items()])
    client.log_inputs(run, [DatasetInput(Dataset("labels", recorded["labels"], "code", "{}"), [])])
    client.log_dict(run, recorded["parameters"], "parameters.json")
    client.set_terminated(run)

    logged = client.create_logged_model(experiment, "model", source_run_id=run)
    unpacked = folder / "version"
    shutil.unpack_archive(FIXTURE / "version.tar.xz", unpacked, "xztar")
    described = (unpacked / "MLmodel").read_text()
    described = described.replace(version["model_id"], logged.model_id).replace(version["run_id"], run)
    (unpacked / "MLmodel").write_text(described)
    client.log_model_artifacts(logged.model_id, str(unpacked))
    client.finalize_logged_model(logged.model_id, "READY")

    client.create_registered_model(NAME)
    source = f"models:/{logged.model_id}"
    made = client.create_model_version(
        NAME, source, run, version["tags"], description=version["description"], model_id=logged.model_id
    )
    client.set_registered_model_alias(NAME, version["alias"], made.version)
    return uri


@pytest.fixture(scope="module")
def restored(tmp_path_factory) -> str:
    return restore(tmp_path_factory.mktemp("registered_before"))


@pytest.fixture
def store(restored: str) -> mlflow.MlflowClient:
    mlflow.set_tracking_uri(restored)
    return mlflow.MlflowClient()


@pytest.fixture(scope="module")
def images() -> pd.DataFrame:
    """The splits dataframe of the run, with the predictions of that time for the test split."""
    images = pd.read_csv(FIXTURE / "images.csv", float_precision="round_trip")
    columns = pd.read_csv(SAMPLE / "labels.csv").drop(columns=["label", "group"])
    files = [SAMPLE / path for path in images["path"]]
    opened = [Image.open(file) for file in files]
    return images.merge(columns, on="path", how="left", validate="1:1").assign(
        image_id=[hashlib.sha256(file.read_bytes()).hexdigest() for file in files],
        size=[file.stat().st_size for file in files],
        width=[image.width for image in opened],
        height=[image.height for image in opened],
        format=[image.format for image in opened],
    )


def check_predictions(predictions: pd.DataFrame) -> None:
    expected = list(RECORD["answers"].values())
    for column in ("label", "abstained", "reason"):
        found = [None if pd.isna(value) else value for value in predictions[column]]
        assert found == [prediction[column] for prediction in expected]
    found = [row for row in predictions["probabilities"] if row is not None]
    then = [prediction["probabilities"] for prediction in expected if prediction["label"] is not None]
    assert [list(row) for row in found] == [["bad", "good"]] * len(then)
    np.testing.assert_allclose([list(row.values()) for row in found], [list(row.values()) for row in then], **CLOSE)


def sample_files() -> list[bytes]:
    return [(SAMPLE / path).read_bytes() for path in RECORD["answers"]]


def test_the_project_loads_it_and_predicts_the_same(store) -> None:
    champion = load_champion(NAME)
    assert (champion.name, champion.version, champion.backend) == (NAME, "1", "keras")
    assert champion.class_names == ["bad", "good"]
    check_predictions(champion.classifier.classify(sample_files()))
    assert find_model(NAME, "champion", "auto").backend == "keras"  # it was never exported


def test_mlflow_loads_it_and_predicts_the_same(store) -> None:
    served = mlflow.pyfunc.load_model(URI)
    check_predictions(served.predict(pd.DataFrame({"image": sample_files()})))


def register(model, network, calibration, images):
    """Register a model as the pipeline does; return the decision, the record of the champion and its predictions."""
    params = validate_parameters(parameters(images__root=str(SAMPLE), evaluation__replicates=300))
    source, registry = params["images"], params["registry"]
    pixels = cache_pixels(images, network, source).streamed()
    test = predict_test(model, pixels, images, calibration)
    predictions = read_predictions(test)
    measured = classification_metrics(predictions.y_true, predictions.probabilities, predicted=predictions.predicted)
    metrics = {f"test_{name}": value for name, value in measured.items()}
    assert metrics.keys() <= RECORD["run"]["metrics"].keys()
    mlflow.set_experiment("goodbad_pipeline")
    with mlflow.start_run():
        champion, former = registration.compare_with_champion(test, pixels, images, source, registry)
        version = registration.register_model(model, pixels, images, network, calibration, registry)
        decided, _ = registration.decide_alias(
            version, champion, former, test, images, network, metrics, source, registry, params["evaluation"],
            params["promotion"],
        )  # fmt: skip
    return decided, champion, former


def check_defended(store, decided, champion, former, images) -> dict[str, str]:
    """It predicted the whole test split, as at that time, and stayed champion."""
    then = images[images["split"] == "test"].reset_index(drop=True)
    assert champion == {"version": "1", "images": 483, "exposed": 0, "recorded": True}
    assert former["path"].tolist() == then["path"].tolist()
    assert former["predicted"].tolist() == then["predicted"].tolist()
    assert former["abstained"].tolist() == then["abstained"].tolist()
    for column in ("probability_bad", "probability_good"):
        np.testing.assert_allclose(former[column], then[column].astype(float), **CLOSE)
    assert decided["champion"]["score"] == pytest.approx(RECORD["run"]["metrics"]["test_balanced_accuracy"])
    assert decided["champion"]["ece"] == pytest.approx(RECORD["run"]["metrics"]["test_ece"], abs=1e-5)
    assert decided["alias"] == "challenger"
    assert str(store.get_model_version_by_alias(NAME, "champion").version) == "1"
    assert str(store.get_model_version_by_alias(NAME, "challenger").version) == decided["version"]
    assert store.get_model_version(NAME, "1").tags == TAGS
    return {check["name"]: check["status"] for check in decided["checks"]}


def test_a_worse_model_does_not_replace_it(store, images) -> None:
    calibration = {"class_names": ["bad", "good"], "temperature": 1.0, "threshold": None, "abstain_below": None}
    decided, champion, former = register(small_model(), NETWORK, calibration, images)
    checks = check_defended(store, decided, champion, former, images)
    assert (checks["parity"], checks["leakage"], checks["comparable"]) == ("passed", "passed", "passed")
    assert (checks["score"], checks["images"]) == ("failed", "passed")
    assert store.get_model_version(NAME, decided["version"]).tags["champion_before"] == "1"


def test_an_equal_model_does_not_replace_it(store, images) -> None:
    same = load_champion(NAME)
    network = NETWORK | {"resolution": same.transform.resolution}
    decided, champion, former = register(same.model, network, same.classifier.calibration.to_dict(), images)
    checks = check_defended(store, decided, champion, former, images)
    assert (checks["parity"], checks["comparable"], checks["score"]) == ("passed", "passed", "failed")


def test_its_training_and_validation_images_are_no_test_of_it(store, images) -> None:
    test = images["split"] == "test"
    swapped = images.assign(split=np.where(test, "train", "test"))
    params = validate_parameters(parameters(images__root=str(SAMPLE)))
    pixels = cache_pixels(swapped, NETWORK, params["images"]).streamed()
    known, former = registration.compare_with_champion(
        swapped[~test], pixels, swapped, params["images"], params["registry"]
    )
    assert (known["exposed"], known["recorded"], former.empty) == (403, True, True)
    assert "403 of the 403 test" in known["incomparable"]


def test_its_run_can_be_repeated_and_its_network_can_grow(store, images) -> None:
    run = store.get_model_version(NAME, "1").run_id
    recorded = read_run(run)
    assert recorded.tags.items() >= RECORD["run"]["tags"].items()
    assert len(recorded.versions) == 10
    assert recorded.metrics == RECORD["run"]["metrics"]
    assert recorded.labels == labels_digest(images)[:16]
    assert recorded.parameters == RECORD["run"]["parameters"]
    repeated = rename_parameters(read_replay_parameters(run))
    params = validate_parameters(parameters() | repeated)
    for group, values in repeated.items():
        assert params[group].model_dump(mode="json").items() >= values.items()
    assert read_shape(load_champion(NAME).model) == layer_shape(network_scale(params["model"]))


@pytest.mark.parametrize("tag", ["archive_sha256", "facts_sha256"])
def test_another_archive_than_the_tag_says_is_refused(store, tag) -> None:
    store.set_model_version_tag(NAME, "1", tag, "0" * 64)
    try:
        with pytest.raises(InputError, match="SHA-256"):
            load_champion(NAME)
    finally:
        store.set_model_version_tag(NAME, "1", tag, TAGS[tag])
