"""From what a run left in the catalog to pages that people read."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.evaluation.predictions import by_model, predicted_classes, y_true_and_probabilities
from goodbad_pipeline.params import ImageParams, TrainingParams
from goodbad_pipeline.reporting.facts import Rows, Tables, gather_facts
from goodbad_pipeline.reporting.pages import render_card, write_card, write_report
from goodbad_pipeline.tracking.provenance import labels_digest


def gather_report_facts(
    metric_intervals: pd.DataFrame,
    per_class_metrics: pd.DataFrame,
    slices: pd.DataFrame,
    fairness: pd.DataFrame,
    slice_comparison: pd.DataFrame,
    split_counts: pd.DataFrame,
    registered_model: dict[str, Any],
    findings: Rows,
    calibration: dict[str, Any],
    test_metrics: dict[str, float],
    explanation_metrics: dict[str, float],
    ingestion_summary: dict[str, Any],
    network: dict[str, Any],
    splits: pd.DataFrame,
    images: ImageParams,
) -> dict[str, Any]:
    """Put together what the report and the card tell."""
    tables = Tables(metric_intervals, per_class_metrics, slices, fairness, slice_comparison, split_counts)
    return gather_facts(
        tables,
        registered=registered_model,
        findings=findings,
        calibration=calibration,
        test_metrics=test_metrics,
        seeing=explanation_metrics,
        ingestion=ingestion_summary,
        network=network,
        data={"root": images.root, "digest": labels_digest(splits)},
    )


def draw_charts(
    history: pd.DataFrame,
    test_predictions: pd.DataFrame,
    baseline_predictions: pd.DataFrame,
    slices: pd.DataFrame,
    training: TrainingParams,
) -> tuple[figures.Chart, figures.Chart, figures.Chart]:
    """Draw what is worth pointing at: epochs, thresholds of the ROC curve, slices."""
    models = by_model(test_predictions, baseline_predictions)
    curves = {name: y_true_and_probabilities(answers)[1] for name, answers in models.items()}
    y_true, _ = y_true_and_probabilities(test_predictions)
    return (
        figures.history_chart(history, training.monitor),
        figures.roc_chart(y_true, curves, predicted_classes(test_predictions)),
        figures.slices_chart(slices, float(test_predictions["correct"].mean())),
    )


def write_report_page(
    report_facts: dict[str, Any],
    history_chart: figures.Chart,
    roc_chart: figures.Chart,
    slice_chart: figures.Chart,
    **drawn: bytes,
) -> str:
    """Write the report, its figures inside; where scripts run, charts take the places of theirs."""
    charts = {"history": history_chart, "roc_curve": roc_chart, "slices": slice_chart}
    return write_report(report_facts, drawn, {name: json.loads(chart.to_json()) for name, chart in charts.items()})


def write_model_card(report_facts: dict[str, Any]) -> tuple[str, str]:
    """Write the model card: Markdown, and the same as a page."""
    card = write_card(report_facts)
    return card, render_card(card)
