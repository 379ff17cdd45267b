"""Facts of a fictitious run for tests of the pages; its names contain HTML and Markdown injections."""

import json

import numpy as np
import pandas as pd

from goodbad_pipeline.evaluation.comparison import PAIRED_COLUMNS
from goodbad_pipeline.evaluation.figures import slices_chart
from goodbad_pipeline.evaluation.metrics import METRICS
from goodbad_pipeline.evaluation.slices import FAIRNESS_COLUMNS, SLICE_COLUMNS
from goodbad_pipeline.reporting.facts import gather_facts

HOSTILE = "<script>window.broken = true</script>"
NAMES = ["bad", f"good | {HOSTILE}"]


def tables():
    rows = [
        (model, metric, value, value - 0.1, value + 0.05)
        for model, value in (("model", 0.91), ("majority", 0.5), ("histogram", 0.64), ("shortcut", 0.52))
        for metric in METRICS
    ]
    per_class = pd.DataFrame({"class": NAMES, "support": [40, 43]})
    for name in ("precision", "recall", "f1"):
        per_class = per_class.assign(**{name: 0.9, f"{name}_low": 0.8, f"{name}_high": np.nan})
    slices = [("hair", "red", 30, 6, 0.8, 0.6, 0.9), (HOSTILE, "[x](javascript:alert(1))", 9, 1, 0.7, np.nan, np.nan)]
    gap = ("skin", "called good", 0.1, 0.0, 0.3, "a", "b", 80, 20)
    candidates = pd.DataFrame({"factor": [0.0, 0.5], "log_loss": [0.4567, 0.3], "low": [0.4, 0.2]})
    drop = ("hair", "red", 30, 6, 0.8, 0.9, -0.1, -0.2, 0.0)
    return {
        "metric_intervals": pd.DataFrame(rows, columns=["model", "metric", "value", "low", "high"]),
        "per_class_metrics": per_class,
        "slices": pd.DataFrame(slices, columns=SLICE_COLUMNS),
        "fairness": pd.DataFrame([gap], columns=FAIRNESS_COLUMNS),
        "candidates": candidates.assign(high=0.5, excess=[0.1567, 0.0], chance=[0.0321, 0.0], chosen=[False, True]),
        "slice_comparison": pd.DataFrame([drop], columns=PAIRED_COLUMNS),
    }


def chart():
    """Return the slices, one with a hostile name, as a Plotly chart."""
    return json.loads(slices_chart(tables()["slices"], 0.9).to_json())


def facts(**changes):
    checks = [
        {
            "name": "parity",
            "status": "passed",
            "reason": "probabilities differ by up to 1e-08",
        },
        {"name": "chance", "status": "failed", "reason": "the gain is not significant (p = 0.2)"},
        {"name": "images", "status": "skipped", "reason": "the number of images is unknown"},
    ]
    certainty = ("test_ece", "uncalibrated_test_ece", "test_log_loss", "uncalibrated_test_log_loss")
    given = {
        "registered_model": {
            "name": "goodbad",
            "version": "7",
            "alias": "challenger",
            "reason": "the gain is not significant (p = 0.2)",
            "policy": "strict",
            "champion": {"version": "5"},
            "checks": checks,
        },
        "findings": [{"code": "baseline", "text": f"The colour histogram reaches 0.64 {HOSTILE}"}],
        "calibration": {"class_names": NAMES, "temperature": 0.8, "threshold": 0.4, "abstain_below": 0.6},
        "test_metrics": dict.fromkeys(certainty, 0.1) | {"test_images": 83.0, "test_groups": 12.0},
        "explanation_metrics": {
            "test_gradcam_border_share": 0.31,
            "test_accuracy_centre_masked": 0.62,
            "test_accuracy_centre_shown": 0.9,
        },
        "ingestion": {"found": 388, "accepted": 383, "quarantined": 5, "groups": 52},
        "network": {
            "network": "efficientnet_lite φ = 0",
            "resolution": 128,
            "parameters": 3_000_000,
            "macs": 120_000_000,
            "weights": "imagenet",
        },
        "splits": [
            {"split": "train", "label": NAMES[0], "images": 300, "groups": 40},
            {"split": "test", "label": NAMES[1], "images": 83, "groups": 12},
        ],
        "data": {"root": f"/images/{HOSTILE}", "digest": "ab" * 32, "corrected": {"train": 3, "test": 1}},
    }
    return gather_facts(**{**tables(), **given, **changes})
