"""Registration and the gate, node by node, on a network of one convolution."""

import json
import shutil
from base64 import b64encode
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
from evaluation_kit import HISTORY, NETWORK, read_splits, small_model
from factories import parameters
from PIL import Image, ImageOps

from goodbad_pipeline.images.splits import count_splits
from goodbad_pipeline.params import validate_parameters
from goodbad_pipeline.pipelines.evaluation import nodes as evaluation
from goodbad_pipeline.pipelines.registration import nodes as registration
from goodbad_pipeline.pipelines.reporting import nodes as reporting
from goodbad_pipeline.pipelines.reporting.pipeline import FIGURES
from goodbad_pipeline.pipelines.training.nodes import cache_pixels
from goodbad_pipeline.registry import lineage
from goodbad_pipeline.registry.models import load_version


def register(road, model, calibration, metrics, test, splits=None, network=NETWORK, pixels=None):
    """Register a model as the pipeline does, in a run of its own; what was decided, and the champion's predictions."""
    images, registry = road.typed["images"], road.typed["registry"]
    splits, pixels = (road.splits if splits is None else splits), pixels or road.pixels
    with mlflow.start_run():
        champion, theirs = registration.compare_with_champion(test, pixels, splits, images, registry)
        version = registration.register_model(model, pixels, splits, network, calibration, registry)
        decided, slices = registration.decide_alias(
            version, champion, theirs, test, splits, network, metrics, images, registry, road.params,
            road.typed["promotion"],
        )  # fmt: skip
    return decided, theirs, slices


@pytest.fixture
def store(tmp_path) -> mlflow.MlflowClient:
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.create_experiment("gate", artifact_location=str(tmp_path / "mlartifacts"))
    mlflow.set_experiment("gate")
    return mlflow.MlflowClient()


def statuses(decided) -> dict[str, str]:
    return {check["name"]: check["status"] for check in decided["checks"]}


def test_the_road_from_first_champion_over_a_better_one_to_the_report(road, store) -> None:
    bad = small_model(-8.0)
    worse = evaluation.predict_test(bad, road.pixels, road.splits, road.calibration)
    figures = road.calibration, road.params
    low = evaluation.evaluate_predictions(worse, road.baselines, *figures)[0]
    first, none, _ = register(road, bad, road.calibration, low, worse)
    better, theirs, slices = register(road, road.model, road.calibration, road.metrics, road.test)
    again, *_ = register(road, road.model, road.calibration, road.metrics, road.test)
    assert (first["alias"], better["alias"], again["alias"]) == ("champion", "champion", "challenger")
    assert none.empty
    assert set(statuses(better).values()) == {"passed"}
    assert theirs["correct"].mean() == pytest.approx(1 - road.metrics["test_accuracy"])
    assert (slices["difference"] > 0).any()
    assert "all predictions are the same" in again["reason"]
    tags = store.get_model_version("goodbad", again["version"]).tags
    assert tags["gate.chance"] == "failed"
    assert tags["gate.parity"] == "passed"
    assert tags["alias_reason"] == again["reason"]
    assert tags["images"] == str(len(road.splits))
    sheet = registration.draw_disagreements(road.test, theirs, road.pixels)
    title = sheet.texts[0].get_text()
    assert title.startswith("Differences: 0 correct only by the champion, ")
    assert title.endswith(f"{int((road.test['correct'] & ~theirs['correct']).sum())} correct only by the new model")
    data = {
        "ingestion": {"found": 1, "accepted": 1, "quarantined": 0, "groups": 80},
        "splits": count_splits(road.splits).to_dict("records"),
        "figures": {"image_sheet": b64encode(b"png").decode()},
    }
    facts = reporting.gather_report_facts(
        road.intervals, road.per_class, road.slices, road.fairness, slices, better, [], road.calibration,
        road.metrics, road.seeing, data, NETWORK, road.splits, road.images,
    )  # fmt: skip
    charts = reporting.draw_charts(HISTORY, road.test, road.baselines, road.slices, road.typed["training"])
    page = reporting.write_report_page(json.loads(json.dumps(facts)), data, *charts, **dict.fromkeys(FIGURES, b"png"))
    assert page.count('<img src="data:image/png') == len(FIGURES) + 1
    assert '<script type="application/json" id="charts">' in page
    assert "goodbad version 2" in page
    card = reporting.write_model_card(facts)
    assert "must not be used to judge people" in card
    assert "<table>" in reporting.render_model_card(card)


def splits_before(road, groups: int) -> pd.DataFrame:
    """Other splits, by which as many test groups of each class lay in train."""
    number = road.splits["group"].str.rsplit(" ", n=1).str[-1].astype(int)
    moved = (road.splits["split"] == "test") & (number < 5 * groups)
    return road.splits.assign(split=road.splits["split"].mask(moved, "train"))


def with_wide_images(road, root: Path) -> SimpleNamespace:
    """The same images between black bars, twice as wide as high, so that it matters how they become square."""
    for path in road.splits["path"]:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        ImageOps.expand(Image.open(road.root / path), (20, 0)).save(root / path)
    shutil.copy(road.root / "labels.csv", root)
    images = road.images.model_copy(update={"root": str(root)})
    typed = {**road.typed, "images": images}
    return SimpleNamespace(**{**vars(road), "images": images, "typed": typed, "splits": read_splits(root)})


def test_a_version_reads_images_as_it_learnt_to_whatever_the_parameters_say_by_now(road, store, tmp_path) -> None:
    road = with_wide_images(road, tmp_path)
    padded = cache_pixels(road.splits, NETWORK, road.images).streamed()
    cropped = cache_pixels(road.splits, NETWORK, road.images.model_copy(update={"resize": "crop"})).streamed()
    tests = [evaluation.predict_test(road.model, pixels, road.splits, road.calibration) for pixels in (cropped, padded)]
    first, *_ = register(road, road.model, road.calibration, road.metrics, tests[0], pixels=cropped)
    assert (load_version("goodbad", first["version"]).transform.resize, road.images.resize) == ("crop", "pad")
    assert statuses(first)["parity"] == "passed"
    _, theirs, _ = register(road, road.model, road.calibration, road.metrics, tests[1], pixels=padded)
    asked_as_before, asked_alike = (
        np.abs(theirs["probability_good"].to_numpy() - test["probability_good"].to_numpy()).max() for test in tests
    )
    assert asked_as_before < 1e-6
    assert asked_alike > 1e-3


def test_what_a_champion_was_trained_on_is_no_test_of_it(road, store) -> None:
    first, *_ = register(road, road.model, road.calibration, road.metrics, road.test, splits_before(road, groups=4))
    assert first["alias"] == "champion"
    bad = small_model(-8.0)
    worse = evaluation.predict_test(bad, road.pixels, road.splits, road.calibration)
    low = evaluation.evaluate_predictions(worse, road.baselines, road.calibration, road.params)[0]
    second, theirs, slices = register(road, bad, road.calibration, low, worse)
    old = road.test["group"].str.rsplit(" ", n=1).str[-1].astype(int) < 20
    assert theirs["image_id"].tolist() == road.test.loc[~old, "image_id"].tolist()
    comparable = next(check for check in second["checks"] if check["name"] == "comparable")
    assert (comparable["status"], old.sum()) == ("passed", 24)
    assert f"except {old.sum()} that the champion was trained or selected on" in comparable["reason"]
    assert second["champion"]["score"] == pytest.approx(balanced(road.test[~old]))
    assert f"balanced_accuracy {balanced(worse[~old.to_numpy()]):.4f} is no better" in second["reason"]
    assert slices.groupby("column")["images"].sum().tolist() == [24] * slices["column"].nunique()
    assert (
        "correct only by the champion"
        in registration.draw_disagreements(worse, theirs, road.pixels).texts[0].get_text()
    )


def test_a_champion_that_saw_nearly_all_is_not_compared(road, store) -> None:
    register(road, road.model, road.calibration, road.metrics, road.test, splits_before(road, groups=7))
    second, theirs, _ = register(road, road.model, road.calibration, road.metrics, road.test)
    assert (second["alias"], theirs.empty) == ("challenger", True)
    assert second["reason"] == (
        "not comparable with the champion: it was trained or selected on 42 of the 48 test images, and only 3 of 24 "
        "images of 'bad' are new to it"
    )


@pytest.mark.parametrize("change", [{"format": "TIFF"}, {"width": 50_000_000}])
def test_a_champion_that_refuses_a_test_image_is_not_compared(road, store, change) -> None:
    register(road, road.model, road.calibration, road.metrics, road.test)
    odd = road.splits.copy()
    odd.loc[odd.index[odd["split"] == "test"][0], list(change)] = list(change.values())
    second, theirs, _ = register(road, road.model, road.calibration, road.metrics, road.test, odd)
    assert (second["alias"], theirs.empty) == ("challenger", True)
    assert second["reason"] == (
        "not comparable with the champion: it rejects 1 of the 48 test images "
        "(it accepts up to 50000000 pixels, no TIFF)"
    )


def balanced(predictions: pd.DataFrame) -> float:
    return float(predictions.groupby("label")["correct"].mean().mean())


def test_what_the_source_was_trained_on_is_no_test_either(road, store) -> None:
    before = splits_before(road, groups=1)
    register(road, road.model, road.calibration, road.metrics, road.test, before)
    grown = validate_parameters(parameters(model__phi=1, model__grow_from="goodbad/1"))["model"]
    source = lineage.describe_source(grown, "grown from goodbad/1", "goodbad", road.splits)
    assert source == {"version": "goodbad/1", "recorded": True, "test_images": 6}
    assert lineage.describe_source(grown, "grown from goodbad/1", "goodbad", before)["test_images"] == 0
    second, *_ = register(
        road, road.model, road.calibration, road.metrics, road.test, network=NETWORK | {"source": source}
    )
    assert statuses(second)["leakage"] == "failed"
    assert "the initial weights were trained or selected on 6 of 48 test images" in second["reason"]
    assert second["alias"] == "challenger"
    everything = lineage.read_exposure("goodbad", "2")  # and what is grown from that has seen as much
    assert everything.complete
    assert (
        everything.exposed_rows(road.splits).tolist()
        == ((before["split"] != "test") | (road.splits["split"] != "test")).tolist()
    )


def test_of_weights_from_elsewhere_nobody_knows_what_they_saw(road, store, tmp_path) -> None:
    for weights in ("none", "imagenet"):
        assert lineage.describe_source(road.typed["model"], weights, "goodbad", road.splits) is None
    source = lineage.describe_source(road.typed["model"], "others.weights.h5", "goodbad", road.splits)
    assert source == {"version": None, "recorded": False, "test_images": 0}
    network = NETWORK | {"source": source, "weights": "others.weights.h5"}
    decided, *_ = register(road, road.model, road.calibration, road.metrics, road.test, network=network)
    (leakage,) = (check for check in decided["checks"] if check["name"] == "leakage")
    assert leakage["status"] == "passed"
    assert "(others.weights.h5) were trained on test images" in leakage["reason"]
    assert store.get_model_version("goodbad", "1").tags["gate.leakage.reason"] == leakage["reason"]
    assert not lineage.read_exposure("goodbad", "1").complete


@pytest.mark.slow
def test_other_classes_a_leak_and_fewer_images_each_keep_the_champion(road, store) -> None:
    register(road, road.model, road.calibration, road.metrics, road.test)
    torn, *_ = register(road, road.model, road.calibration, road.metrics, road.test, road.splits.assign(group="g"))
    fewer = road.splits.drop(road.splits.index[road.splits["split"] == "train"][:5])
    small, *_ = register(road, road.model, road.calibration, road.metrics, road.test, fewer)
    names = {"good": "noble"}
    renamed = road.test.rename(columns={"probability_good": "probability_noble"})
    renamed = renamed.assign(label=renamed["label"].replace(names), predicted=renamed["predicted"].replace(names))
    other, *_ = register(
        road,
        road.model,
        {**road.calibration, "class_names": ["bad", "noble"]},
        road.metrics,
        renamed,
        road.splits.assign(label=road.splits["label"].replace(names)),
    )
    assert statuses(torn)["leakage"] == "failed"
    assert "the split leaks: 1 groups" in torn["reason"]
    assert statuses(small)["images"] == "failed"
    assert "its classes are bad, good, those of these data bad, noble" in other["reason"]
    assert [one["alias"] for one in (torn, small, other)] == ["challenger"] * 3


@pytest.mark.slow
def test_a_copy_that_answers_differently_is_no_champion(road, store) -> None:
    off = road.test.assign(probability_bad=1 - road.test["probability_bad"])
    off["probability_good"] = 1 - off["probability_bad"]
    decided, *_ = register(road, road.model, road.calibration, road.metrics, off)
    assert statuses(decided)["parity"] == "failed"
    assert decided["alias"] == "challenger"


def test_without_a_champion_there_is_a_sheet_that_says_so(road) -> None:
    figure = registration.draw_disagreements(road.test, road.test.iloc[:0], road.pixels)
    assert "no images to compare" in figure.texts[0].get_text()
