"""Nodes that register the model and decide whether it becomes champion or challenger."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from goodbad_pipeline import lazy
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.evaluation.exposure import UNKNOWN, too_few_unexposed
from goodbad_pipeline.evaluation.predictions import prediction_table, read_predictions
from goodbad_pipeline.evaluation.promotion import Champion, Evidence, decide_promotion
from goodbad_pipeline.images.pixels import Pixels, pixel_source
from goodbad_pipeline.images.split_leakage import find_leaks
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.params import EvaluationParams, ImageParams, PromotionParams, RegistryParams
from goodbad_pipeline.pipelines.registration.evidence import (
    NO_SLICES,
    measure_champion,
    measure_on_same_images,
    measure_parity,
    on_same_images,
)
from goodbad_pipeline.registry.lineage import (
    count_exposed_test_images,
    read_exposure,
    total_exposure,
    unrecorded_source,
)
from goodbad_pipeline.registry.models import (
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


def compare_with_champion(
    test_predictions: pd.DataFrame,
    pixels: Pixels,
    splits: pd.DataFrame,
    images: ImageParams,
    registry: RegistryParams,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Predict the same test images with the current champion, with its own image transform.

    Images that the champion was trained or selected on are left out.

    Returns:
        Facts of the champion and its predictions, which may be empty. The facts are ``version`` (None if there is no
        champion), ``images`` in its splits, ``exposed`` test images, whether its exposure is ``recorded`` and, if so,
        why it is ``incomparable``; ``away`` if MLflow does not respond.
    """
    try:
        champion = load_champion(registry.name)
        exposure = UNKNOWN if champion is None else read_exposure(registry.name, champion.version)
    except TrackingUnavailable as error:
        logger.warning("%s: no comparison with the current champion", error)
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
        pixels = pixel_source(unexposed, Path(images.root), champion.transform).streamed()
    probabilities = batches.predict(champion.model, pixels.array, pixels.rows(unexposed["image_id"]))
    return facts, prediction_table(unexposed, probabilities, champion.classifier.calibration)


def _why_incomparable(
    champion: RegisteredModel, test: pd.DataFrame, exposed: np.ndarray, names: list[str]
) -> str | None:
    if champion.class_names != names:
        classes = f"its classes are {', '.join(champion.class_names)}, those of these data {', '.join(names)}"
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

    The version stores the transform of ``pixels``, not that of the current parameters.
    """
    example = np.asarray(pixels.array[0])
    try:
        exposure = total_exposure(network, splits)
        reading = Calibration.from_dict(calibration)
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

    Returns:
        Version, alias, reason and checks; the accuracy of both models by slice.
    """
    name, version = str(model_version["name"]), model_version["version"]
    if version is None or champion.get("away"):
        return _undecided(name, version, promotion.policy), NO_SLICES
    current, slices = measure_champion(
        champion, champion_predictions, test_predictions, splits, registry.metric, evaluation
    )
    score, ece = measure_on_same_images(champion_predictions, test_predictions, test_metrics, registry.metric)
    evidence = Evidence(
        metric=registry.metric,
        score=score,
        ece=ece,
        images=len(splits),
        parity=_reload(name, version, test_predictions, Path(images.root)),
        leaks=tuple(find_leaks(splits, count_exposed_test_images(network))),
        unrecorded=unrecorded_source(network),
        champion=current,
    )
    decision = decide_promotion(evidence, promotion.rules)
    try:
        decision = set_alias(name, version, decision, champion["version"], test_metrics, images=len(splits))
    except TrackingUnavailable:
        return _undecided(name, version, promotion.policy), slices
    logger.info("Registered %s version %s as %s: %s", name, version, decision.alias, decision.reason)
    registered = {"name": name, "version": version, "alias": decision.alias, "reason": decision.reason}
    compared = {"champion": _describe(current), "policy": decision.policy}
    return {**registered, **compared, "checks": [asdict(check) for check in decision.checks]}, slices


def _undecided(name: str, version: str | None, policy: str) -> dict[str, Any]:
    reason = f"MLflow did not respond; run `kedro run --pipeline={REGISTER}` when it does"
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
    new, old = on_same_images(test_predictions, champion_predictions), champion_predictions.reset_index(drop=True)
    lost = new[old["correct"] & ~new["correct"]].nlargest(SHEET_IMAGES, "probability")
    won = old[~old["correct"] & new["correct"]].nlargest(SHEET_IMAGES, "probability")
    shown = pd.concat([lost, won])
    verdicts = ["only the champion is correct"] * len(lost) + ["only the new model is correct"] * len(won)
    captions = [f"{label}\n{verdict}" for label, verdict in zip(shown["label"], verdicts, strict=True)]
    counts = int((old["correct"] & ~new["correct"]).sum()), int((~old["correct"] & new["correct"]).sum())
    title = f"Differences: {counts[0]} correct only by the champion, {counts[1]} correct only by the new model"
    colours = figures.class_colours(read_predictions(test_predictions).class_names)
    shown_pixels = np.asarray(pixels.array[pixels.rows(shown["image_id"])])
    return figures.contact_sheet(
        shown_pixels, captions, columns=6, title=title, frames=[colours[one] for one in shown["label"]]
    )


def _reload(name: str, version: str, predictions: pd.DataFrame, root: Path) -> float:
    """Return the parity of the registered copy; infinite if it cannot be loaded."""
    try:
        classifier = load_version(name, version).classifier
    except InputError as error:
        logger.warning("%s", error)
        return float("inf")
    return measure_parity(classifier, predictions.head(PARITY_IMAGES), root)


def _describe(champion: Champion | None) -> dict[str, Any] | None:
    if champion is None:
        return None
    return {"version": champion.version, "score": champion.score, "ece": champion.ece, "p_value": champion.p_value}
