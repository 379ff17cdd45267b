"""From a trained model to a version of the registry, champion or challenger."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lazy_loader as lazy
import numpy as np
import pandas as pd

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.evaluation.exposure import UNKNOWN, too_few_left
from goodbad_pipeline.evaluation.predictions import predicted_classes, prediction_table
from goodbad_pipeline.evaluation.promotion import Champion, Evidence, decide_promotion
from goodbad_pipeline.images.pixels import Pixels, pixel_source
from goodbad_pipeline.images.split_leakage import find_leaks
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.params import EvaluationParams, ImageParams, PromotionParams, RegistryParams
from goodbad_pipeline.pipelines.registration.evidence import (
    NO_SLICES,
    measure_beside,
    measure_champion,
    measure_parity,
    on_same_images,
)
from goodbad_pipeline.registry.lineage import read_seen, seen_before, seen_in_all, unrecorded_source
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
batches = lazy.load("goodbad_pipeline.training.batches", suppress_warning=True)

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
    """Ask the present champion about the same test images, decoded and read the way it wants them.

    It is not asked about images that it was trained or selected on, which its splits may have had elsewhere.

    Returns:
        What is known of it (``version``, null where there is none, ``images`` it was made from, test images it has
        ``seen``, whether all such are ``recorded``, and why it is ``incomparable``; ``away`` where MLflow does not
        answer), and its predictions, empty where there are none.
    """
    try:
        champion = load_champion(registry.name)
        seen = UNKNOWN if champion is None else read_seen(registry.name, champion.version)
    except TrackingUnavailable as error:
        logger.warning("%s: the present champion is not compared with", error)
        return {"version": None, "away": True}, test_predictions.iloc[:0]
    if champion is None:
        return {"version": None}, test_predictions.iloc[:0]
    made_from = read_tags(registry.name, champion.version).get("images")
    test = splits[splits["split"] == "test"]
    hidden = seen.among(test)
    known: dict[str, Any] = {"version": champion.version, "images": None if made_from is None else int(made_from)}
    known |= {"seen": int(hidden.sum()), "recorded": seen.complete}
    if reason := _why_incomparable(champion, test, hidden, class_names(splits)):
        return {**known, "incomparable": reason}, test_predictions.iloc[:0]
    new = test[~hidden]
    if champion.transform != pixels.transform:
        pixels = pixel_source(new, Path(images.root), champion.transform).streamed()
    return known, _ask(champion, new, pixels)


def _why_incomparable(
    champion: RegisteredModel, test: pd.DataFrame, hidden: np.ndarray, names: list[str]
) -> str | None:
    if champion.class_names != names:
        apart = f"it tells apart {', '.join(champion.class_names)}, these data {', '.join(names)}"
        return f"{apart} (registry.name gives them a model of their own)"
    if scarce := too_few_left(test["label"], hidden):
        return f"it was trained or selected on {hidden.sum()} of the {len(test)} test images, and {scarce}"
    limits, new = champion.transform, test[~hidden]
    refused = new["width"] * new["height"] > limits.max_pixels
    if not limits.tiff:
        refused |= new["format"] == "TIFF"
    if refused.any():
        taken = f"up to {limits.max_pixels} pixels{'' if limits.tiff else ', no TIFF'}"
        return f"it refuses {refused.sum()} of the {len(test)} test images (it takes {taken})"
    return None


def _ask(champion: RegisteredModel, test: pd.DataFrame, pixels: Pixels) -> pd.DataFrame:
    answers = batches.predict(champion.model, pixels.array, pixels.rows(test["image_id"]))
    return prediction_table(test, answers, champion.classifier.calibration)


def register_model(
    model: Any,
    pixels: Pixels,
    splits: pd.DataFrame,
    network: dict[str, Any],
    calibration: dict[str, Any],
    registry: RegistryParams,
) -> dict[str, str | None]:
    """Register the model as a new version, which has no alias yet; the version is null where MLflow does not answer.

    It will read images as ``pixels`` were read, whatever the parameters say by now.
    """
    example = np.asarray(pixels.array[0])
    try:
        seen = seen_in_all(network, splits)
        version = log_model(model, registry.name, Calibration.from_dict(calibration), pixels.transform, example, seen)
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
    """Make the new version champion or challenger, and say why; beside it both models' accuracy by slice.

    Where MLflow did not answer, it becomes neither.
    """
    name, version = str(model_version["name"]), model_version["version"]
    if version is None or champion.get("away"):
        return _undecided(name, version, promotion.policy), NO_SLICES
    beside, slices = measure_champion(
        champion, champion_predictions, test_predictions, splits, registry.metric, evaluation
    )
    score, ece = measure_beside(champion_predictions, test_predictions, test_metrics, registry.metric)
    evidence = Evidence(
        metric=registry.metric,
        score=score,
        ece=ece,
        images=len(splits),
        parity=_reload(name, version, test_predictions, Path(images.root)),
        leaks=tuple(find_leaks(splits, seen_before(network))),
        unrecorded=unrecorded_source(network),
        champion=beside,
    )
    decision = decide_promotion(evidence, promotion.rules)
    try:
        decision = set_alias(name, version, decision, champion["version"], test_metrics, images=len(splits))
    except TrackingUnavailable:
        return _undecided(name, version, promotion.policy), slices
    logger.info("Registered %s version %s as %s: %s", name, version, decision.alias, decision.reason)
    registered = {"name": name, "version": version, "alias": decision.alias, "reason": decision.reason}
    compared = {"champion": _describe(beside), "policy": decision.policy}
    return {**registered, **compared, "checks": [asdict(check) for check in decision.checks]}, slices


def _undecided(name: str, version: str | None, policy: str) -> dict[str, Any]:
    reason = f"MLflow did not answer; `kedro run --pipeline={REGISTER}` registers the model when it does"
    logger.warning("No alias for %s version %s: %s", name, version, reason)
    registered = {"name": name, "version": version, "alias": "undecided", "reason": reason}
    return {**registered, "champion": None, "policy": policy, "checks": []}


def draw_disagreements(
    test_predictions: pd.DataFrame, champion_predictions: pd.DataFrame, pixels: Pixels
) -> figures.Figure:
    """Show images that one of the two models knows and the other does not, each model's surest mistakes first."""
    title = "Champion and new model: no images to compare"
    if champion_predictions.empty:
        return figures.contact_sheet(np.empty((0, 1, 1, 3), np.uint8), [], columns=6, title=title)
    new, old = on_same_images(test_predictions, champion_predictions), champion_predictions.reset_index(drop=True)
    lost = new[old["correct"] & ~new["correct"]].nlargest(SHEET_IMAGES, "probability")
    won = old[~old["correct"] & new["correct"]].nlargest(SHEET_IMAGES, "probability")
    shown = pd.concat([lost, won])
    verdicts = ["only the champion is right"] * len(lost) + ["only the new model is right"] * len(won)
    captions = [f"{label}\n{verdict}" for label, verdict in zip(shown["label"], verdicts, strict=True)]
    counts = int((old["correct"] & ~new["correct"]).sum()), int((~old["correct"] & new["correct"]).sum())
    title = f"Where they differ: {counts[0]} that only the champion knows, {counts[1]} that only the new model knows"
    colours = figures.class_colours(predicted_classes(test_predictions))
    shown_pixels = np.asarray(pixels.array[pixels.rows(shown["image_id"])])
    return figures.contact_sheet(
        shown_pixels, captions, columns=6, title=title, frames=[colours[one] for one in shown["label"]]
    )


def _reload(name: str, version: str, predictions: pd.DataFrame, root: Path) -> float:
    """How far the registered copy answers from what was evaluated; infinite where it cannot be loaded."""
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
