"""From what a run left in the catalog to pages that people read."""

from typing import Any

import pandas as pd

from goodbad_pipeline.params import ImageParams
from goodbad_pipeline.provenance import labels_digest
from goodbad_pipeline.reporting.facts import Rows, Tables, gather_facts
from goodbad_pipeline.reporting.pages import render_card, write_card, write_report


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


def write_report_page(report_facts: dict[str, Any], **figures: bytes) -> str:
    """Write the report, its figures inside."""
    return write_report(report_facts, figures)


def write_model_card(report_facts: dict[str, Any]) -> tuple[str, str]:
    """Write the model card: Markdown, and the same as a page."""
    card = write_card(report_facts)
    return card, render_card(card)
