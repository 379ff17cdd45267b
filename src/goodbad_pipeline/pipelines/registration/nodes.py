"""Nodes that register the model and decide whether it becomes champion or challenger."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from goodbad_pipeline import lazy
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.evaluation.bootstrap import resample_groups
from goodbad_pipeline.evaluation.comparison import PAIRED_COLUMNS, compare_slices, measure_gain, measure_rise
from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.evaluation.exposure import UNKNOWN, too_few_unexposed
from goodbad_pipeline.evaluation.metrics import classification_metrics
from goodbad_pipeline.evaluation.predictions import prediction_table, read_predictions
from goodbad_pipeline.evaluation.promotion import Champion, Evidence, SliceDrop, decide_promotion
from goodbad_pipeline.evaluation.slices import slice_values
from goodbad_pipeline.images.paths import Root, read_inside
from goodbad_pipeline.images.pixels import Pixels, pixel_source
from goodbad_pipeline.images.split_leakage import find_leaks
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.images.stores import open_root
from goodbad_pipeline.params import EvaluationParams, ImageParams, PromotionParams, RegistryParams
from goodbad_pipeline.registry.lineage import (
    count_exposed_test_images,
    read_exposure,
    total_exposure,
    unrecorded_source,
)
from goodbad_pipeline.registry.models import (
    CHAMPION,
    RegisteredModel,
    load_champion,
    load_version,
    log_model,
    read_tags,
    set_alias,
)
from goodbad_pipeline.tracking import TrackingUnavailable

logger = logging.getLogger(__name__)
batches = lazy.load("goodbad_pipeline.training.batches")

REGISTER = "register"
PARITY_IMAGES = 64
SHEET_IMAGES = 12
NO_SLICES = pd.DataFrame(columns=PAIRED_COLUMNS)


def compare_with_champion(
    test_predictions: pd.DataFrame,
    pixels: Pixels,
    splits: pd.DataFrame,
    images: ImageParams,
    registry: RegistryParams,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Predict the test images with the current champion and the champion's image transform.

    A test image is left out if the champion was trained or selected on an image of its group.

    Returns:
        Facts about the champion, and a table of the champion's predictions, which may be empty. The facts are
        ``version`` (None without a champion), ``images`` (number of images in the champion's splits), ``exposed``
        (number of test images left out), ``recorded`` (True if all training images of the champion are known),
        ``incomparable`` (why the two models cannot be compared) and ``away`` (True if MLflow does not respond).
    """
    try:
        champion = load_champion(registry.name)
        exposure = UNKNOWN if champion is None else read_exposure(registry.name, champion.version)
    except TrackingUnavailable as error:
        logger.warning("%s: the model is not compared with the current champion", error)
        return {"version": None, "away": True}, test_predictions.iloc[:0]
    if champion is None:
        return {"version": None}, test_predictions.iloc[:0]
    image_count = read_tags(registry.name, champion.version).get("images")
    test = splits[splits["split"] == "test"]
    exposed = exposure.exposed_rows(test)
    facts: dict[str, Any] = {"version": champion.version, "images": None if image_count is None else int(image_count)}
    facts |= {"exposed": int(exposed.sum()), "recorded": exposure.complete}
    if reason := _why_incomparable(champion, test, exposed, class_names(splits)):
        return {**facts, "incomparable": reason}, test_predictions.iloc[:0]
    unexposed = test[~exposed]
    if champion.transform != pixels.transform:
        pixels = pixel_source(unexposed, open_root(images.root), champion.transform).streamed()
    probabilities = batches.predict(champion.model, pixels.array, pixels.rows(unexposed["image_id"]))
    return facts, prediction_table(unexposed, probabilities, champion.classifier.calibration)


def _why_incomparable(
    champion: RegisteredModel, test: pd.DataFrame, exposed: np.ndarray, names: list[str]
) -> str | None:
    if champion.class_names != names:
        classes = f"its classes are {', '.join(champion.class_names)}, but the data has the classes {', '.join(names)}"
        return f"{classes} (choose another registry.name)"
    if too_few := too_few_unexposed(test["label"], exposed):
        return f"it was trained or selected on {exposed.sum()} of the {len(test)} test images, and {too_few}"
    limits, unexposed = champion.transform, test[~exposed]
    rejected = unexposed["width"] * unexposed["height"] > limits.max_pixels
    if not limits.tiff:
        rejected |= unexposed["format"] == "TIFF"
    if rejected.any():
        accepted = f"up to {limits.max_pixels} pixels{'' if limits.tiff else ', no TIFF'}"
        return f"it rejects {rejected.sum()} of the {len(test)} test images (it accepts {accepted})"
    return None


def register_model(
    model: Any,
    pixels: Pixels,
    splits: pd.DataFrame,
    network: dict[str, Any],
    calibration: dict[str, Any],
    registry: RegistryParams,
) -> dict[str, str | None]:
    """Register the model as a new version without an alias; the version is None if MLflow does not respond.

    The version stores the image transform of ``pixels``, because the parameters may have changed since the training.
    """
    example = np.asarray(pixels.array[0])
    try:
        exposure = total_exposure(network, splits)
        reading = Calibration(**calibration)
        version = log_model(model, registry.name, reading, pixels.transform, example, exposure)
    except TrackingUnavailable as error:
        logger.warning("%s: the model is not registered", error)
        return {"name": registry.name, "version": None}
    return {"name": registry.name, "version": version}


def decide_alias(
    model_version: dict[str, str | None],
    champion: dict[str, Any],
    champion_predictions: pd.DataFrame,
    test_predictions: pd.DataFrame,
    splits: pd.DataFrame,
    network: dict[str, Any],
    test_metrics: dict[str, float],
    images: ImageParams,
    registry: RegistryParams,
    evaluation: EvaluationParams,
    promotion: PromotionParams,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Make the new version champion or challenger, or neither if MLflow does not respond.

    A version that is the champion already stays champion without a comparison.

    Returns:
        The version with its alias, reason and checks, and a table of the accuracy of both models by slice.
    """
    name, version = str(model_version["name"]), model_version["version"]
    if version is None or champion.get("away"):
        return _undecided(name, version, promotion.policy), NO_SLICES
    if champion["version"] == version:
        return _kept(name, version, promotion.policy, len(splits), test_metrics), NO_SLICES
    current, slices = _measure_champion(
        champion, champion_predictions, test_predictions, splits, registry.metric, evaluation
    )
    score, ece = _measure_on_same_images(champion_predictions, test_predictions, test_metrics, registry.metric)
    evidence = Evidence(
        metric=registry.metric,
        score=score,
        ece=ece,
        images=len(splits),
        parity=_parity(name, version, test_predictions.head(PARITY_IMAGES), open_root(images.root)),
        leaks=tuple(find_leaks(splits, count_exposed_test_images(network))),
        unrecorded=unrecorded_source(network),
        champion=current,
    )
    decision = decide_promotion(evidence, promotion.rules)
    try:
        decision = set_alias(name, version, decision, champion["version"], test_metrics, images=len(splits))
    except TrackingUnavailable:
        return _undecided(name, version, promotion.policy), slices
    logger.info("Registered %s version %s, alias %s. Reason: %s", name, version, decision.alias, decision.reason)
    registered = {"name": name, "version": version, "alias": decision.alias, "reason": decision.reason}
    compared = current and {fact: getattr(current, fact) for fact in ("version", "score", "ece", "p_value")}
    checks = [asdict(check) for check in decision.checks]
    measured = {"images": len(splits), "metrics": test_metrics}
    return {**registered, "champion": compared, "policy": decision.policy, "checks": checks, **measured}, slices


def _measure_champion(
    champion: dict[str, Any],
    champion_predictions: pd.DataFrame,
    test_predictions: pd.DataFrame,
    splits: pd.DataFrame,
    metric: str,
    evaluation: EvaluationParams,
) -> tuple[Champion | None, pd.DataFrame]:
    """Compare the champion with the new model on the images that `compare_with_champion` predicted.

    Returns:
        The champion and its metrics, or None if there is no champion; and a table of both models' accuracy by slice.
    """
    if champion["version"] is None:
        return None, NO_SLICES
    facts = {"exposed" if name == "seen" else name: value for name, value in champion.items()}  # named "seen" until 0.1
    if champion.get("incomparable"):
        return Champion(**facts), NO_SLICES
    test_predictions = _on_same_images(test_predictions, champion_predictions)
    test = _on_same_images(splits[splits["split"] == "test"], champion_predictions)
    resamples = resample_groups(test_predictions["group"], evaluation.replicates, evaluation.seed)
    new, old = read_predictions(test_predictions), read_predictions(champion_predictions)
    gain = measure_gain(new, old, resamples, metric, evaluation.seed)
    new_correct, old_correct = (table["correct"].to_numpy() for table in (test_predictions, champion_predictions))
    slices = compare_slices(slice_values(test), new_correct, old_correct, resamples)
    measured = Champion(
        **facts,
        score=gain.champion,
        p_value=gain.p_value,
        ece=classification_metrics(old.y_true, old.probabilities, old.class_names)["ece"],
        same_predictions=bool((new.predicted == old.predicted).all()),
        drops=_drops(slices),
        ece_rise=measure_rise("ece", new, old, resamples).low,
    )
    return measured, slices


def _on_same_images(images: pd.DataFrame, champion_predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``images`` that the champion predicted, in the order of ``images``."""
    return images[images["image_id"].isin(champion_predictions["image_id"])].reset_index(drop=True)


def _measure_on_same_images(
    champion_predictions: pd.DataFrame, test_predictions: pd.DataFrame, test_metrics: dict[str, float], metric: str
) -> tuple[float, float]:
    """Return the new model's metric and calibration error on the images that the champion predicted.

    If the champion predicted no image, all test images are used.
    """
    same = _on_same_images(test_predictions, champion_predictions)
    if len(same) in (0, len(test_predictions)):
        return test_metrics[f"test_{metric}"], test_metrics["test_ece"]
    model = read_predictions(same)
    metrics = classification_metrics(model.y_true, model.probabilities, predicted=model.predicted)
    return metrics[metric], metrics["ece"]


def _drops(slices: pd.DataFrame) -> tuple[SliceDrop, ...]:
    lower = slices[slices["high"] < 0]
    rows = zip(lower["column"], lower["value"], lower["images"], lower["difference"], strict=True)
    return tuple(SliceDrop(str(column), str(value), int(size), -float(gap)) for column, value, size, gap in rows)


def _parity(name: str, version: str, predictions: pd.DataFrame, root: Root) -> float:
    """Return the largest difference in probabilities between the registered copy of the model and ``predictions``.

    The difference is infinite if the copy cannot be loaded or rejects a file.
    """
    try:
        classifier = load_version(name, version).classifier
    except InputError as error:
        logger.warning("%s", error)
        return float("inf")
    responses = classifier.classify([read_inside(root.resolve(), path).content for path in predictions["path"]])
    if responses["label"].isna().any():
        return float("inf")
    expected = read_predictions(predictions)
    actual = np.array([[row[name] for name in expected.class_names] for row in responses["probabilities"]])
    return float(np.abs(actual - expected.probabilities).max())


def _kept(name: str, version: str, policy: str, images: int, metrics: dict[str, float]) -> dict[str, Any]:
    reason = "this model is the champion already, so there is nothing to compare"
    kept = {"name": name, "version": version, "alias": CHAMPION, "reason": reason}
    return {**kept, "champion": None, "policy": policy, "checks": [], "images": images, "metrics": metrics}


def _undecided(name: str, version: str | None, policy: str) -> dict[str, Any]:
    reason = f"MLflow did not respond; run --pipeline={REGISTER} when it does"
    logger.warning("No alias for %s version %s: %s", name, version, reason)
    registered = {"name": name, "version": version, "alias": "undecided", "reason": reason}
    return {**registered, "champion": None, "policy": policy, "checks": []}


def draw_disagreements(
    test_predictions: pd.DataFrame, champion_predictions: pd.DataFrame, pixels: Pixels
) -> figures.Figure:
    """Draw images that only one of the two models predicts correctly, each model's most confident mistakes first."""
    title = "Champion and new model: no images to compare"
    if champion_predictions.empty:
        return figures.contact_sheet(np.empty((0, 1, 1, 3), np.uint8), [], columns=6, title=title)
    new, old = _on_same_images(test_predictions, champion_predictions), champion_predictions.reset_index(drop=True)
    lost = new[old["correct"] & ~new["correct"]].nlargest(SHEET_IMAGES, "probability")
    won = old[~old["correct"] & new["correct"]].nlargest(SHEET_IMAGES, "probability")
    shown = pd.concat([lost, won])
    verdicts = ["only the champion is correct"] * len(lost) + ["only the new model is correct"] * len(won)
    captions = [f"{label}\n{verdict}" for label, verdict in zip(shown["label"], verdicts, strict=True)]
    counts = int((old["correct"] & ~new["correct"]).sum()), int((~old["correct"] & new["correct"]).sum())
    title = f"Differences: {counts[0]} correct only by the champion, {counts[1]} correct only by the new model"
    frames = [figures.VERDICTS["wrong"]] * len(lost) + [figures.VERDICTS["right"]] * len(won)
    legend = {f"new model {verdict}": colour for verdict, colour in figures.VERDICTS.items()}
    shown_pixels = np.asarray(pixels.array[pixels.rows(shown["image_id"])])
    return figures.contact_sheet(shown_pixels, captions, columns=6, title=title, frames=frames, legend=legend)
