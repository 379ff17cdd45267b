"""Facts of a run, which the report and the model card show, as plain values that JSON can store."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from goodbad_pipeline.evaluation.predictions import BASELINES, MODEL

Rows = list[dict[str, Any]]

METRIC_NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "f1_macro": "Macro F1",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "ece": "Calibration error (ECE)",
}
_CERTAINTY = (
    "uncalibrated_test_ece",
    "test_ece",
    "test_ece_by_chance",
    "uncalibrated_test_log_loss",
    "test_log_loss",
    "uncalibrated_test_brier",
    "test_brier",
    "test_accuracy_surest_80",
    "test_abstained",
    "test_accuracy_answered",
)


def gather_facts(
    *,
    metric_intervals: pd.DataFrame,
    per_class_metrics: pd.DataFrame,
    slices: pd.DataFrame,
    fairness: pd.DataFrame,
    slice_comparison: pd.DataFrame,
    registered_model: Mapping[str, Any],
    findings: Rows,
    calibration: Mapping[str, Any],
    test_metrics: Mapping[str, float],
    explanation_metrics: Mapping[str, float],
    network: Mapping[str, Any],
    candidates: pd.DataFrame,
    ingestion: Mapping[str, Any],
    splits: Rows,
    data: Mapping[str, Any],
) -> dict[str, Any]:
    """Collect the content of report and model card; NaN and infinity become None, because JSON has neither."""
    facts = {
        "registered": dict(registered_model),
        "findings": findings,
        "calibration": dict(calibration),
        "classes": list(calibration["class_names"]),
        "certainty": {name: test_metrics.get(name) for name in _CERTAINTY},
        "test": {"images": int(test_metrics["test_images"]), "groups": int(test_metrics["test_groups"])},
        "seeing": dict(explanation_metrics),
        "metrics": _metric_rows(metric_intervals),
        "per_class": _rows(per_class_metrics),
        "slices": _rows(slices.sort_values("accuracy", kind="stable")),
        "fairness": _rows(fairness),
        "slice_comparison": _rows(slice_comparison.sort_values("difference", kind="stable")),
        "splits": splits,
        "ingestion": dict(ingestion),
        "network": dict(network),
        "candidates": _rows(candidates),
        "data": dict(data),
    }
    cleaned: dict[str, Any] = plain_values(facts)
    return cleaned


def _metric_rows(intervals: pd.DataFrame) -> Rows:
    """Return one row per metric: the model's value and interval, and the value of each baseline."""
    rows = _rows(intervals[intervals["model"] == MODEL].drop(columns="model"))
    others = intervals[intervals["model"] != MODEL]
    for row in rows:
        same_metric = others[others["metric"] == row["metric"]]
        row["name"] = METRIC_NAMES.get(row["metric"], row["metric"])
        row["baselines"] = {
            BASELINES.get(name, name): value
            for name, value in zip(same_metric["model"], same_metric["value"], strict=True)
        }
    return rows


def _rows(table: pd.DataFrame) -> Rows:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def plain_values(value: Any) -> Any:
    """Convert nested values to plain Python values; NaN and infinity become None."""
    if isinstance(value, Mapping):
        return {str(key): plain_values(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(inner) for inner in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
