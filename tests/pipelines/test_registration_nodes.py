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


def register(run, model, calibration, metrics, test, splits=None, network=NETWORK, pixels=None):
    """Register a model as the pipeline does, in a run of its own; what was decided, and the champion's predictions."""
    images, registry = run.typed["images"], run.typed["registry"]
    splits, pixels = (run.splits if splits is None else splits), pixels or run.pixels
    with mlflow.start_run():
        champion, theirs = registration.compare_with_champion(test, pixels, splits, images, registry)
        version = registration.register_model(model, pixels, splits, network, calibration, registry)
        decided, slices = registration.decide_alias(
            version, champion, theirs, test, splits, network, metrics, images, registry, run.params,
            run.typed["promotion"],
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


def test_a_better_model_replaces_the_first_champion_and_is_reported(run, store) -> None:
    bad = small_model(-8.0)
    worse = evaluation.predict_test(bad, run.pixels, run.splits, run.calibration)
    figures = run.calibration, run.params
    low = evaluation.evaluate_predictions(worse, run.baselines, *figures)[0]
    first, none, _ = register(run, bad, run.calibration, low, worse)
    better, theirs, slices = register(run, run.model, run.calibration, run.metrics, run.test)
    recorded = store.get_model_version("goodbad", "2")
    again, *_ = register(run, run.model, run.calibration, run.metrics, run.test)
    assert (again["version"], again["alias"]) == ("2", "champion")
    assert again["reason"] == "this model is the champion already, so there is nothing to compare"
    unchanged = store.get_model_version("goodbad", "2")
    assert (unchanged.description, unchanged.tags) == (recorded.description, recorded.tags)
    again, *_ = register(run, run.model, run.calibration | {"abstain_below": 0.01}, run.metrics, run.test)
    assert (first["alias"], better["alias"], again["alias"]) == ("champion", "champion", "challenger")
    assert none.empty
    assert set(statuses(better).values()) == {"passed"}
    assert theirs["correct"].mean() == pytest.approx(1 - run.metrics["test_accuracy"])
    assert (slices["difference"] > 0).any()
    assert "all predictions are the same" in again["reason"]
    tags = store.get_model_version("goodbad", again["version"]).tags
    assert tags["gate"] == "failed: score, chance"
    assert tags["images"] == str(len(run.splits))
    sheet = registration.draw_disagreements(run.test, theirs, run.pixels)
    title = sheet.texts[0].get_text()
    assert title.startswith("Differences: 0 correct only by the champion, ")
    assert title.endswith(f"{int((run.test['correct'] & ~theirs['correct']).sum())} correct only by the new model")
    data = {
        "ingestion": {"found": 1, "accepted": 1, "quarantined": 0, "groups": 80},
        "splits": count_splits(run.splits).to_dict("records"),
        "figures": {"image_sheet": b64encode(b"png").decode()},
    }
    facts = reporting.gather_report_facts(
        data,
        run.splits,
        run.images,
        metric_intervals=run.intervals,
        per_class_metrics=run.per_class,
        slices=run.slices,
        fairness=run.fairness,
        slice_comparison=slices,
        candidates=pd.DataFrame(),
        registered_model=better,
        findings=[],
        calibration=run.calibration,
        test_metrics=run.metrics,
        explanation_metrics=run.seeing,
        network=NETWORK,
    )
    charts = reporting.draw_charts(HISTORY, run.test, run.baselines, run.slices, run.typed["training"])
    page = reporting.write_report_page(json.loads(json.dumps(facts)), data, *charts, **dict.fromkeys(FIGURES, b"png"))
    assert page.count('<img src="data:image/png') == len(FIGURES) + 1
    assert '<script type="application/json" id="charts">' in page
    assert "goodbad version 2" in page
    card = reporting.write_model_card(facts)
    assert "must not be used to judge people" in card
    assert "<table>" in reporting.render_model_card(card)


def splits_before(run, groups: int) -> pd.DataFrame:
    """Other splits, by which as many test groups of each class lay in train."""
    number = run.splits["group"].str.rsplit(" ", n=1).str[-1].astype(int)
    moved = (run.splits["split"] == "test") & (number < 5 * groups)
    return run.splits.assign(split=run.splits["split"].mask(moved, "train"))


def with_wide_images(run, root: Path) -> SimpleNamespace:
    """The same images between black bars, twice as wide as high, so that it matters how they become square."""
    for path in run.splits["path"]:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        ImageOps.expand(Image.open(run.root / path), (20, 0)).save(root / path)
    shutil.copy(run.root / "labels.csv", root)
    images = run.images.model_copy(update={"root": str(root)})
    typed = {**run.typed, "images": images}
    return SimpleNamespace(**{**vars(run), "images": images, "typed": typed, "splits": read_splits(root)})


def test_a_version_reads_images_as_in_its_training_whatever_the_parameters(run, store, tmp_path) -> None:
    run = with_wide_images(run, tmp_path)
    padded = cache_pixels(run.splits, NETWORK, run.images).streamed()
    cropped = cache_pixels(run.splits, NETWORK, run.images.model_copy(update={"resize": "crop"})).streamed()
    tests = [evaluation.predict_test(run.model, pixels, run.splits, run.calibration) for pixels in (cropped, padded)]
    first, *_ = register(run, run.model, run.calibration, run.metrics, tests[0], pixels=cropped)
    assert (load_version("goodbad", first["version"]).transform.resize, run.images.resize) == ("crop", "pad")
    assert statuses(first)["parity"] == "passed"
    _, theirs, _ = register(run, run.model, run.calibration, run.metrics, tests[1], pixels=padded)
    asked_as_before, asked_alike = (
        np.abs(theirs["probability_good"].to_numpy() - test["probability_good"].to_numpy()).max() for test in tests
    )
    assert asked_as_before < 1e-6
    assert asked_alike > 1e-3


def test_images_that_the_champion_was_trained_on_are_left_out(run, store) -> None:
    first, *_ = register(
        run,
        run.model,
        run.calibration,
        run.metrics,
        run.test,
        splits_before(run, groups=4),
    )
    assert first["alias"] == "champion"
    bad = small_model(-8.0)
    worse = evaluation.predict_test(bad, run.pixels, run.splits, run.calibration)
    low = evaluation.evaluate_predictions(worse, run.baselines, run.calibration, run.params)[0]
    second, theirs, slices = register(run, bad, run.calibration, low, worse)
    old = run.test["group"].str.rsplit(" ", n=1).str[-1].astype(int) < 20
    assert theirs["image_id"].tolist() == run.test.loc[~old, "image_id"].tolist()
    comparable = next(check for check in second["checks"] if check["name"] == "comparable")
    assert (comparable["status"], old.sum()) == ("passed", 24)
    assert f"except {old.sum()} that the champion was trained or selected on" in comparable["reason"]
    assert second["champion"]["score"] == pytest.approx(balanced(run.test[~old]))
    assert f"balanced_accuracy {balanced(worse[~old.to_numpy()]):.4f} is no better" in second["reason"]
    assert slices.groupby("column")["images"].sum().tolist() == [24] * slices["column"].nunique()
    assert (
        "correct only by the champion" in registration.draw_disagreements(worse, theirs, run.pixels).texts[0].get_text()
    )


def test_a_champion_trained_on_nearly_all_test_images_is_not_compared(run, store) -> None:
    register(
        run,
        run.model,
        run.calibration,
        run.metrics,
        run.test,
        splits_before(run, groups=7),
    )
    second, theirs, _ = register(run, run.model, run.calibration, run.metrics, run.test)
    assert (second["alias"], theirs.empty) == ("challenger", True)
    assert second["reason"] == (
        "not comparable with the champion: it was trained or selected on 42 of the 48 test images, and only 3 of 24 "
        "images of 'bad' remain for a comparison, which needs 10"
    )


@pytest.mark.parametrize("change", [{"format": "TIFF"}, {"width": 50_000_000}])
def test_a_champion_that_rejects_a_test_image_is_not_compared(run, store, change) -> None:
    register(run, run.model, run.calibration, run.metrics, run.test)
    odd = run.splits.copy()
    odd.loc[odd.index[odd["split"] == "test"][0], list(change)] = list(change.values())
    other = run.calibration | {"abstain_below": 0.01}
    second, theirs, _ = register(run, run.model, other, run.metrics, run.test, odd)
    assert (second["alias"], theirs.empty) == ("challenger", True)
    assert second["reason"] == (
        "not comparable with the champion: it rejects 1 of the 48 test images "
        "(it accepts up to 50000000 pixels, no TIFF)"
    )


def balanced(predictions: pd.DataFrame) -> float:
    return float(predictions.groupby("label")["correct"].mean().mean())


def test_images_that_the_growth_source_was_trained_on_are_left_out(run, store) -> None:
    before = splits_before(run, groups=1)
    register(run, run.model, run.calibration, run.metrics, run.test, before)
    grown = validate_parameters(parameters(model__phi=1, model__grow_from="goodbad/1"))["model"]
    source = lineage.describe_source(grown, "grown from goodbad/1", "goodbad", run.splits)
    assert source == {"version": "goodbad/1", "recorded": True, "test_images": 6}
    assert lineage.describe_source(grown, "grown from goodbad/1", "goodbad", before)["test_images"] == 0
    second, *_ = register(
        run,
        run.model,
        run.calibration | {"abstain_below": 0.01},
        run.metrics,
        run.test,
        network=NETWORK | {"source": source},
    )
    assert statuses(second)["leakage"] == "failed"
    assert "the initial weights were trained or selected on 6 of 48 test images" in second["reason"]
    assert second["alias"] == "challenger"
    everything = lineage.read_exposure("goodbad", "2")  # and what is grown from that has seen as much
    assert everything.complete
    assert (
        everything.exposed_rows(run.splits).tolist()
        == ((before["split"] != "test") | (run.splits["split"] != "test")).tolist()
    )


def test_the_training_images_of_other_weights_are_unknown(run, store, tmp_path) -> None:
    for weights in ("none", "imagenet"):
        assert lineage.describe_source(run.typed["model"], weights, "goodbad", run.splits) is None
    source = lineage.describe_source(run.typed["model"], "others.weights.h5", "goodbad", run.splits)
    assert source == {"version": None, "recorded": False, "test_images": 0}
    network = NETWORK | {"source": source, "weights": "others.weights.h5"}
    decided, *_ = register(run, run.model, run.calibration, run.metrics, run.test, network=network)
    (leakage,) = (check for check in decided["checks"] if check["name"] == "leakage")
    assert leakage["status"] == "passed"
    assert "(others.weights.h5) were trained on test images" in leakage["reason"]
    assert not lineage.read_exposure("goodbad", "1").complete


@pytest.mark.slow
def test_other_classes_a_leak_or_fewer_images_keep_the_champion(run, store) -> None:
    register(run, run.model, run.calibration, run.metrics, run.test)
    torn, *_ = register(
        run,
        run.model,
        run.calibration | {"abstain_below": 0.01},
        run.metrics,
        run.test,
        run.splits.assign(group="g"),
    )
    fewer = run.splits.drop(run.splits.index[run.splits["split"] == "train"][:5])
    small, *_ = register(run, run.model, run.calibration, run.metrics, run.test, fewer)
    names = {"good": "noble"}
    renamed = run.test.rename(columns={"probability_good": "probability_noble"})
    renamed = renamed.assign(label=renamed["label"].replace(names), predicted=renamed["predicted"].replace(names))
    other, *_ = register(
        run,
        run.model,
        {**run.calibration, "class_names": ["bad", "noble"]},
        run.metrics,
        renamed,
        run.splits.assign(label=run.splits["label"].replace(names)),
    )
    assert statuses(torn)["leakage"] == "failed"
    assert "the splits leak: 1 group in" in torn["reason"]
    assert statuses(small)["images"] == "failed"
    assert "its classes are bad, good, but the data has the classes bad, noble" in other["reason"]
    assert [one["alias"] for one in (torn, small, other)] == ["challenger"] * 3


@pytest.mark.slow
def test_a_copy_with_other_predictions_does_not_become_champion(run, store) -> None:
    off = run.test.assign(probability_bad=1 - run.test["probability_bad"])
    off["probability_good"] = 1 - off["probability_bad"]
    decided, *_ = register(run, run.model, run.calibration, run.metrics, off)
    assert statuses(decided)["parity"] == "failed"
    assert decided["alias"] == "challenger"


def test_without_a_champion_the_sheet_has_a_note(run) -> None:
    figure = registration.draw_disagreements(run.test, run.test.iloc[:0], run.pixels)
    assert "no images to compare" in figure.texts[0].get_text()


def test_a_network_stored_by_an_older_version_keeps_its_count_of_exposed_test_images() -> None:
    assert lineage.count_exposed_test_images({"source": {"test_pictures": 3, "recorded": True}}) == 3
