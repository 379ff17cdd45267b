"""The pipeline review: which images it reviews, what it stores and reports, and a whole run."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_runner import kedro_run, runs, table
from factories import parameters, write_manifest

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.figures import Figure
from goodbad_pipeline.params import ImageParams, ReviewParams, validate_parameters
from goodbad_pipeline.pipelines.review import nodes
from goodbad_pipeline.tracking.run_record import labels_digest


@pytest.fixture(scope="module")
def splits() -> pd.DataFrame:
    """Return images of 40 groups of two; the label of image 0 is wrong."""
    numbers = np.arange(80)
    table = pd.DataFrame(
        {
            "image_id": [f"{number:064x}" for number in numbers],
            "path": [f"{number}.png" for number in numbers],
            "group": [f"group {number // 2}" for number in numbers],
            "copies": [f"{number}" for number in numbers],
            "label": np.where(numbers // 2 % 2, "good", "bad"),
            "split": np.where(numbers >= 64, "test", np.where(numbers >= 56, "validation", "train")),
            "width": 40,
            "height": 40,
        }
    )
    table.loc[0, "label"] = "good"
    table.attrs["root"] = "/images"
    return table


def read_params(**changes: object) -> ReviewParams:
    return validate_parameters(parameters(**changes))["review"]


def test_the_test_split_is_reviewed_only_by_choice(splits: pd.DataFrame) -> None:
    reviewed = nodes.choose_reviewed(splits, read_params())
    assert set(reviewed["split"]) == {"train", "validation"}
    assert reviewed.attrs == {"root": "/images", "labels": labels_digest(splits)}
    assert len(nodes.choose_reviewed(splits, read_params(review__include_test=True))) == len(splits)


def test_a_class_of_one_group_is_not_judged_and_without_two_classes_of_two_groups_there_is_no_review(
    splits: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    few = splits.assign(group=splits["group"].where(splits["label"] == "bad", "one"))
    with pytest.raises(
        InputError, match=r"^review: at least two classes must have .*; groups by class: bad 16, good 1$"
    ):
        nodes.choose_reviewed(few, read_params())
    rare = splits.copy()
    rare.loc[[2, 3], "label"] = "rare"
    assert len(nodes.choose_reviewed(rare, read_params())) == 64
    assert "All images of the class 'rare' are of one group" in caplog.text


def review(splits: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, float]]:
    reviewed = nodes.choose_reviewed(splits, read_params())
    numbers = reviewed["path"].str.removesuffix(".png").astype(int).to_numpy()
    rng = np.random.default_rng(0)
    features = np.where(numbers[:, None] // 2 % 2, 1.5, -1.5) + rng.normal(size=(len(numbers), 5))
    measures = pd.DataFrame({"darkest": 0.1, "brightest": 0.9, "contrast": 0.3, "sharpness": 1.0}, reviewed.index)
    return nodes.review_labels(reviewed, features.astype(np.float32), measures, read_params())


def test_the_wrong_label_comes_first_with_the_label_that_fits(splits: pd.DataFrame) -> None:
    labels, shares, metrics = review(splits)
    first = labels.iloc[0]
    assert first[["path", "label", "suggested", "issue"]].tolist() == ["0.png", "good", "bad", "label"]
    assert len(labels) == 64
    assert labels.attrs["labels"] == labels_digest(splits)
    assert labels.attrs["wrong_share"][0] == metrics["review_wrong_share"]
    assert shares["class"].tolist() == ["bad", "good"]
    assert metrics["review_images"] == 64
    assert metrics["review_label_images"] == (labels["issue"] == "label").sum()
    assert metrics["review_wrong_share_low"] <= metrics["review_wrong_share"] <= metrics["review_wrong_share_high"]
    pd.testing.assert_frame_equal(review(splits)[0], labels)  # the same seed gives the same review


def test_the_figures_show_the_most_suspicious_images(splits: pd.DataFrame, tmp_path: Path) -> None:
    root = write_manifest(tmp_path)
    listed = pd.read_csv(root / "labels.csv").assign(split="train")
    listed["image_id"] = [sha256((root / path).read_bytes()).hexdigest() for path in listed["path"]]
    labels = listed.assign(suggested=listed["label"], probability=0.01, issue="")
    labels.loc[0, ["suggested", "probability", "issue"]] = ["good", 0.9, "label"]
    images = validate_parameters(parameters(images__root=str(root)))["images"]
    assert isinstance(images, ImageParams)
    sheet, matrix = nodes.draw_review(labels, images)
    texts = [text.get_text() for text in sheet.findobj(match=_has_text)]
    assert "The 36 most suspicious labels; probably wrong: 1 of 36" in texts
    assert "bad → good\n90%" in texts
    assert isinstance(matrix, Figure)
    assert "another class for 1 of 36 images" in matrix.axes[0].get_title()


def _has_text(artist: object) -> bool:
    return hasattr(artist, "get_text")


@pytest.mark.long
def test_a_run_reviews_the_stored_splits_and_logs_the_estimate(project: Path) -> None:
    with pytest.raises(InputError, match=r"^splits: the pipeline reads these datasets.*; run --pipeline=data first$"):
        kedro_run(project, "review")
    kedro_run(project, "data")
    kedro_run(project, "review", model__phi=0)
    labels, splits = table(project, "label_review"), table(project, "splits")
    assert set(labels["path"]) == set(splits.loc[splits["split"] != "test", "path"])
    assert labels.attrs["labels"] == labels_digest(splits)
    assert all((project / f"data/08_reporting/{name}.png").is_file() for name in ("review_sheet", "suggestion_matrix"))
    run = next(run for run in runs(project) if run.info.run_name.startswith("review"))
    assert run.data.metrics["label review/images"] == len(labels)
