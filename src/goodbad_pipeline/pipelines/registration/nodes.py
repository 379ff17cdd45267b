"""From a trained model to a version of the registry, champion or challenger."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.evaluation.metrics import classification_metrics
from goodbad_pipeline.evaluation.predictions import prediction_table, truth_and_probabilities
from goodbad_pipeline.images.pixels import Pixels, pixel_source
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.params import ImageParams, RegistryParams
from goodbad_pipeline.promotion import Decision, decide_promotion
from goodbad_pipeline.registry import RegisteredModel, load_champion, log_model, set_alias

logger = logging.getLogger(__name__)


def register_model(
    model: Any,
    pixels: Pixels,
    splits: pd.DataFrame,
    test_metrics: dict[str, float],
    network: dict[str, Any],
    images: ImageParams,
    registry: RegistryParams,
) -> dict[str, Any]:
    """Register the model, and make it champion if it beats the present one on the same test pictures."""
    names = class_names(splits)
    transform = images.transform(network["resolution"])
    champion = load_champion(registry.name)
    decision = _decide(champion, test_metrics, splits, Path(images.root), registry.metric)
    version = log_model(model, registry.name, Calibration(names), transform, np.asarray(pixels.array[0]))
    set_alias(registry.name, version, decision, test_metrics)
    logger.info("Registered %s version %s as %s: %s", registry.name, version, decision.alias, decision.reason)
    return {"name": registry.name, "version": version, "alias": decision.alias, "reason": decision.reason}


def _decide(
    champion: RegisteredModel | None, test_metrics: dict[str, float], splits: pd.DataFrame, root: Path, metric: str
) -> Decision:
    challenger = {name.removeprefix("test_"): value for name, value in test_metrics.items() if name.startswith("test_")}
    if champion is None:
        return decide_promotion(challenger, None, metric)
    if champion.class_names != class_names(splits):
        reason = f"it tells apart {', '.join(champion.class_names)}, these data {', '.join(class_names(splits))}"
        return decide_promotion(challenger, {}, metric, incomparable=reason)
    return decide_promotion(challenger, _measure(champion, splits, root), metric)


def _measure(champion: RegisteredModel, splits: pd.DataFrame, root: Path) -> dict[str, float]:
    """Metrics of the champion on this run's test pictures, decoded the way the champion wants them."""
    from goodbad_pipeline.training.batches import predict  # noqa: PLC0415 - imports Keras

    test = splits[splits["split"] == "test"]
    source = pixel_source(test, root, champion.transform)
    decoded = Pixels(np.array(source.image_ids), np.concatenate(list(source.blocks())))
    probabilities = predict(champion.model, decoded.array, decoded.rows(test["image_id"]))
    predictions = prediction_table(test, probabilities, Calibration(champion.class_names))
    return classification_metrics(*truth_and_probabilities(predictions), champion.class_names)
