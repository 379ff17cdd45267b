"""Nodes that write the report and the model card."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pandas as pd

from goodbad_pipeline import lazy
from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.evaluation.predictions import probabilities_by_model, read_predictions
from goodbad_pipeline.params import ImageParams, TrainingParams
from goodbad_pipeline.reporting.facts import gather_facts
from goodbad_pipeline.tracking.run_record import labels_digest

pages = lazy.load("goodbad_pipeline.reporting.pages")


def gather_report_facts(
    data_facts: dict[str, Any], labelled: pd.DataFrame, images: ImageParams, **results: Any
) -> dict[str, Any]:
    """Collect the content of the report and the model card."""
    corrected = labelled.loc[labelled["label"] != labelled["source_label"], "split"].value_counts()
    return gather_facts(
        **results,
        ingestion=data_facts["ingestion"],
        splits=data_facts["splits"],
        data={"root": images.root, "digest": labels_digest(labelled), "corrected": corrected.to_dict()},
    )


def draw_history(history: pd.DataFrame, training: TrainingParams) -> figures.Figure:
    """Draw loss and accuracy by epoch, and mark the epoch whose weights the model has."""
    return figures.history_figure(history, training.monitor)


def draw_charts(
    history: pd.DataFrame,
    test_predictions: pd.DataFrame,
    baseline_predictions: pd.DataFrame,
    slices: pd.DataFrame,
    training: TrainingParams,
) -> tuple[figures.Chart, figures.Chart, figures.Chart]:
    """Draw the interactive charts: training history, ROC curve, slices."""
    model = read_predictions(test_predictions)
    curves = probabilities_by_model(test_predictions, baseline_predictions)
    return (
        figures.history_chart(history, training.monitor),
        figures.roc_chart(model.y_true, curves, model.class_names),
        figures.slices_chart(slices, float(test_predictions["correct"].mean())),
    )


def write_report_page(
    report_facts: dict[str, Any],
    data_facts: dict[str, Any],
    history_chart: figures.Chart,
    roc_chart: figures.Chart,
    slice_chart: figures.Chart,
    **figures_by_place: bytes,
) -> str:
    """Return the report page as HTML; interactive charts replace some figures if the browser runs scripts."""
    charts = {"history": history_chart, "roc_curve": roc_chart, "slices": slice_chart}
    drawn = {name: b64decode(png) for name, png in data_facts["figures"].items()} | figures_by_place
    return pages.write_report(
        report_facts, drawn, {name: json.loads(chart.to_json()) for name, chart in charts.items()}
    )


def write_model_card(report_facts: dict[str, Any]) -> str:
    """Return the model card in Markdown."""
    return pages.write_card(report_facts)


def render_model_card(model_card: str) -> str:
    """Return the model card as an HTML page."""
    return pages.render_card(model_card)
