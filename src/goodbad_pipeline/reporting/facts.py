"""The facts of a run that pages are written from: plain values, so that they can be kept as JSON."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from goodbad_pipeline.evaluation.findings import MODEL

Rows = list[dict[str, Any]]

SPELLED = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "f1_macro": "Macro F1",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "ece": "Calibration error (ECE)",
}
BASELINES = {"majority": "majority class", "histogram": "colours alone", "shortcut": "files alone"}


@dataclass(frozen=True)
class Tables:
    """What evaluation and registration left, as it lies in the catalog."""

    metric_intervals: pd.DataFrame
    per_class: pd.DataFrame
    slices: pd.DataFrame
    fairness: pd.DataFrame
    slice_comparison: pd.DataFrame
    split_counts: pd.DataFrame


def gather_facts(
    tables: Tables,
    *,
    registered: Mapping[str, Any],
    findings: Rows,
    calibration: Mapping[str, Any],
    test_metrics: Mapping[str, float],
    seeing: Mapping[str, float],
    ingestion: Mapping[str, Any],
    network: Mapping[str, Any],
    data: Mapping[str, Any],
) -> dict[str, Any]:
    """Put together what both pages tell; whatever is not a number becomes None, which JSON and people have a word for.

    Args:
        tables: Tables of the run.
        registered: Name, version, alias, reason, checks.
        findings: What to know before believing the numbers.
        calibration: Temperature, threshold, abstention, class names.
        test_metrics: Flat metrics of the run.
        seeing: Share of Grad-CAM on the border, accuracy with the centre masked.
        ingestion: Counts of files.
        network: Family, size, resolution, parameters.
        data: Where the images came from: root and digest.
    """
    weakest = tables.slices.sort_values("accuracy", kind="stable")
    facts = {
        "registered": dict(registered),
        "findings": findings,
        "calibration": dict(calibration),
        "classes": list(calibration["class_names"]),
        "certainty": {name: test_metrics.get(name) for name in _CERTAINTY},
        "test": {"images": int(test_metrics["test_images"]), "groups": int(test_metrics["test_groups"])},
        "seeing": dict(seeing),
        "metrics": _metric_rows(tables.metric_intervals),
        "per_class": _rows(tables.per_class),
        "slices": _rows(weakest),
        "fairness": _rows(tables.fairness),
        "slice_comparison": _rows(tables.slice_comparison.sort_values("difference", kind="stable")),
        "splits": _rows(tables.split_counts),
        "ingestion": dict(ingestion),
        "network": dict(network),
        "data": dict(data),
    }
    cleaned: dict[str, Any] = _clean(facts)
    return cleaned


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


def _metric_rows(intervals: pd.DataFrame) -> Rows:
    """One row per metric: ours with its interval, and each baseline's value."""
    rows = _rows(intervals[intervals["model"] == MODEL].drop(columns="model"))
    others = intervals[intervals["model"] != MODEL]
    for row in rows:
        beside = others[others["metric"] == row["metric"]]
        row["name"] = SPELLED.get(row["metric"], row["metric"])
        row["baselines"] = {
            BASELINES.get(name, name): value for name, value in zip(beside["model"], beside["value"], strict=True)
        }
    return rows


def _rows(table: pd.DataFrame) -> Rows:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _clean(value: Any) -> Any:
    """Plain Python values all the way down."""
    if isinstance(value, Mapping):
        return {str(key): _clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(inner) for inner in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
