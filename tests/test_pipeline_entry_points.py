"""``kedro run`` on other folders, from the command line and with invalid input, each in a fresh project."""

import json
from pathlib import Path

import pytest
from cli_runner import BACKENDS, SLOW, WATCHED, command, imported, kedro_run, runs, table
from factories import encoded, make_image

from goodbad_pipeline.errors import InputError

pytestmark = pytest.mark.no_cover  # other tests cover these lines; measuring coverage doubles the time


def write_presplit(root: Path) -> None:
    for offset, (split, count) in enumerate((("train", 8), ("valid", 3), ("test", 3))):
        for number, label in enumerate("abc"):
            folder = root / split / label
            folder.mkdir(parents=True)
            for index in range(count):
                image = make_image(1000 * offset + 100 * number + index, bright=bool(number))
                (folder / f"{split}{index}.jpg").write_bytes(encoded(image, "JPEG"))


@pytest.mark.no_cover
def test_presplit_folders_keep_their_split(project: Path) -> None:
    write_presplit(project / "images")
    kedro_run(project, "data", images__root="images")
    splits = table(project, "splits")
    assert splits["split"].value_counts().to_dict() == {"train": 24, "validation": 9, "test": 9}
    assert set(splits["label"]) == {"a", "b", "c"}


@pytest.mark.slow
def test_three_classes_run_through_all_pipelines(project: Path) -> None:
    write_presplit(project / "images")
    kedro_run(project, images__root="images")
    metrics = json.loads((project / "data/08_reporting/test_metrics.json").read_text())
    assert 0 <= metrics["test_roc_auc"] <= 1
    assert len(table(project, "per_class_metrics")) == 3


def test_train_without_stored_splits_names_the_missing_pipeline(project: Path) -> None:
    message = r"^splits, data_facts: the pipeline reads these datasets.*; run --pipeline=data first$"
    with pytest.raises(InputError, match=message):
        kedro_run(project, "train")


def test_a_failed_run_is_marked_failed_with_its_reason(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = project / "data/01_raw/characters/labels.csv"
    labels.write_text(labels.read_text().replace(",good,", ",bad,"))
    with pytest.raises(InputError, match="at least two classes are needed, got only 'bad'"):
        kedro_run(project)
    (run,) = runs(project)
    assert run.info.status == "FAILED"
    assert "at least two classes" in run.data.tags["failure"]
    assert not (project / "data/05_model_input/splits.parquet").exists()
    assert "--from-nodes" not in caplog.text


def test_splits_remember_the_folder_of_their_images(project: Path) -> None:
    write_presplit(project / "images")
    kedro_run(project, "data", images__root="images")
    assert table(project, "splits").attrs == {"root": str(project / "images")}
    with pytest.raises(InputError, match=rf"the stored table 'splits' is of the images in '{project}/images'"):
        kedro_run(project, "train")
    with pytest.raises(InputError, match=r"^baseline_predictions, .*; run --pipeline=train first$"):
        kedro_run(project, "register", images__root="images")


@pytest.mark.slow
@pytest.mark.no_cover
def test_tracking_uri_of_the_environment_is_used(project: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    kedro_run(project, "data")
    assert (tmp_path / "elsewhere.db").exists()
    assert (tmp_path / "mlartifacts").is_dir()
    assert not (project / "mlflow.db").exists()


@pytest.mark.long
def test_data_pipeline_runs_from_a_subfolder(project: Path) -> None:
    (project / "conf/local/parameters.yml").write_text("images:\n  max_pixels: 5000\n")
    done = command(project / "data", "run", "--pipeline=data", "--params=splits.seed=3", environment=WATCHED)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"goodbad_pipeline", "mlflow"} <= imported(done)
    assert not imported(done) & BACKENDS
    assert len(table(project, "labels")) == 36
    (run,) = runs(project)
    assert run.data.params["splits.seed"] == "3"
    assert run.data.params["splits.fractions.test"] == "0.15"
    assert run.data.params["images.max_pixels"] == "5000"
    assert not (project / "data" / "mlflow.db").exists()


@pytest.mark.long
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--params=model.fi=1", "model.fi: unknown parameter"),
        ("--pipeline=trian", "--pipeline: must be one of __default__, data, "),
        pytest.param("--params=images.root=nowhere", "images.root: must be an existing folder", marks=pytest.mark.slow),
        pytest.param("--env=gpu", "training.require_gpu: a GPU is required", marks=pytest.mark.slow),
    ],
)
def test_bad_input_is_one_line_and_status_one(project: Path, option: str, message: str) -> None:
    done = command(project, "run", option)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert message in last
    assert "Traceback" not in done.stdout + done.stderr
    assert not list((project / "data").glob("0[2-8]*/*"))


def test_help_imports_no_tensorflow_and_no_plotting(project: Path) -> None:
    done = command(project, "run", "--help", environment=WATCHED)
    assert "--params" in done.stdout
    assert {"goodbad_pipeline", "mlflow"} <= imported(done)
    assert not imported(done) & (BACKENDS | SLOW)


def test_listing_pipelines_imports_no_tensorflow_and_no_plotting(project: Path) -> None:
    done = command(project, "registry", "list", environment=WATCHED)
    assert {"goodbad_pipeline", "mlflow"} <= imported(done)
    assert not imported(done) & (BACKENDS | SLOW)
    names = [
        "__default__",
        "data",
        "export",
        "follow",
        "predict",
        "register",
        "replay",
        "review",
        "sample_data",
        "scaling_report",
        "scaling_search",
        "scaling_study",
        "train",
        "tune",
    ]
    assert [line.removeprefix("- ") for line in done.stdout.splitlines() if line.startswith("- ")] == names
