"""What the data pipeline reports and refuses, in one run of it."""

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from cli_runner import kedro_run, runs, store, table
from factories import make_project
from factories import parameters as make_parameters
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.validation.exceptions import DataValidationError

from goodbad_pipeline.params import validate_parameters
from goodbad_pipeline.pipelines.splitting.nodes import report_leaks, report_splits
from goodbad_pipeline.tracking import plain_name

SHEETS = [f"{split}_{label}.png" for split in ("test", "train", "validation") for label in ("0_bad", "1_good")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_project(tmp_path_factory.mktemp("stages") / "project")
    root = folder / "data/01_raw/characters"
    (root / "broken.png").write_bytes(b"nothing to see")
    (root / "images/copy.png").write_bytes((root / "images/good_1_1.png").read_bytes())
    with (root / "labels.csv").open("a") as manifest:
        manifest.write("broken.png,bad,bad 0,sun\nimages/copy.png,bad,bad 1,sun\n")
    (folder / "corrections.csv").write_text(
        "path,label,exclude,why,who\n"
        "images/bad_0_0.png,good,,smiles,Ann\n"
        "images/bad_0_1.png,,true,blurred,Bob\n"
        "images/copy.png,good,,a copy of good_1_1,Ann\n"
    )
    kedro_run(folder, "data", images__corrections="corrections.csv")
    return folder


def test_corrections_are_applied_and_accounted_for(project: Path) -> None:
    labels, quarantine = table(project, "labels").set_index("path"), table(project, "quarantine")
    assert labels.loc["images/bad_0_0.png", ["label", "source_label"]].tolist() == ["good", "bad"]
    assert labels.loc["images/copy.png", "label"] == "good"  # settled before copies are compared
    assert set(quarantine["reason"]) == {"not_an_image", "excluded"}
    assert len(labels) + len(quarantine) == 38
    report = table(project, "corrections")
    assert report[["row", "after", "who", "status"]].values.tolist() == [
        [1, "good", "Ann", "applied"],
        [2, "(excluded)", "Bob", "applied"],
        [3, "good", "Ann", "applied"],
    ]


def test_the_leak_report_is_a_table_and_metrics_of_the_run(project: Path) -> None:
    report = table(project, "leak_report").set_index("split")
    assert report.loc["this one", ["copy_in_train", "group_in_train"]].tolist() == [0, 0]
    assert report.loc["plain random", "group_in_train"] > 0
    metrics = json.loads((project / "data/08_reporting/leak_metrics.json").read_text())
    (run,) = runs(project)
    assert {plain_name(name): value for name, value in run.data.metrics.items()} == metrics
    assert "leak_worth" in metrics


def test_sheets_are_figures_and_artifacts(project: Path) -> None:
    folder = project / "data/08_reporting"
    assert sorted(file.name for file in (folder / "split_sheets").iterdir()) == SHEETS
    assert (folder / "quarantine_sheet.png").stat().st_size > 5_000
    (run,) = runs(project)
    names = {file.path for file in store(project).list_artifacts(run.info.run_id, "figures/split_sheets")}
    assert names == {f"figures/split_sheets/{name}" for name in SHEETS}


def test_a_changed_table_is_rejected_by_the_catalog(project: Path) -> None:
    file = project / "data/05_model_input/splits.parquet"
    splits = pd.read_parquet(file)
    splits.loc[splits.index[0], "split"] = "test" if splits["split"].iloc[0] == "train" else "train"
    splits.to_parquet(file)
    bootstrap_project(project)
    with (
        KedroSession.create(project, env="test") as session,
        pytest.raises(DataValidationError, match=r"group '.*' must have one split; it has 2"),
    ):
        session.load_context().catalog.load("splits")


def test_leaks_do_not_depend_on_the_order_of_the_images() -> None:
    rng = np.random.default_rng(0)
    names = [f"{number}.png" for number in range(40)]
    looks = [rng.integers(0, 256, 192, np.uint8).tobytes() for _ in names]
    column = pd.Series(looks, dtype=pd.ArrowDtype(pa.large_binary()))
    images = pd.DataFrame({"path": names, "thumbnail": column})
    groups = [f"group {number // 2}" for number in range(40)]
    splits = pd.DataFrame({"path": names, "label": ["a", "b"] * 20, "group": groups, "copies": groups})
    splits["image_id"] = names
    splits["split"] = ["train"] * 20 + ["test"] * 20
    parameters = validate_parameters(make_parameters())["splits"]
    table, metrics = report_leaks(images, splits, parameters)
    shuffled = images.sample(frac=1, random_state=0, ignore_index=True)
    again, same = report_leaks(shuffled, splits, parameters)
    pd.testing.assert_frame_equal(again, table)
    assert same == metrics
    wrong = shuffled.assign(path=names)
    assert report_leaks(wrong, splits, parameters)[1] != metrics


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (7, "Every class is divided among the splits as splits.fractions requests"),
        (6, "Class 'cat' has 60.0 % of its images in train instead of 70.0 %"),
    ],
)
def test_the_largest_deviation_is_logged_if_there_is_one(train: int, message: str, caplog) -> None:
    caplog.set_level(logging.INFO)
    parts = ["train"] * train + ["validation"] * ((10 - train) // 2) + ["test"] * ((11 - train) // 2)
    fractions = {"train": 0.7, "validation": 0.1, "test": 0.2} if train == 7 else {}
    splits = pd.DataFrame(
        {"label": "cat", "split": parts, "source_split": None} | dict.fromkeys(("path", "group", "image_id"), range(10))
    )
    changes = {f"splits__fractions__{name}": value for name, value in fractions.items()}
    report_splits(splits, validate_parameters(make_parameters(**changes))["splits"])
    assert message in caplog.text
