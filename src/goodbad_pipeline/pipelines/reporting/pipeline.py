"""metrics, decision, figures → report and model card."""

from kedro.pipeline import Pipeline, node, pipeline

from goodbad_pipeline.pipelines.reporting.nodes import (
    draw_charts,
    gather_report_facts,
    write_model_card,
    write_report_page,
)

FIGURES = {
    "confusion_matrix": "confusion_matrix",
    "roc_curve": "roc_curve",
    "precision_recall_curve": "precision_recall_curve",
    "reliability": "reliability",
    "slices": "slice_figure",
    "mistakes": "mistakes",
    "top_losses": "top_losses",
    "explanations": "explanations",
    "disagreements": "disagreements",
    "history": "history_figure",
    "image_sheet": "image_sheet",
    "split_figure": "split_figure",
}
"""Datasets of the figures, by their name in the report's template."""
CHARTS = ["history_chart", "roc_chart", "slice_chart"]


def create_pipeline() -> Pipeline:
    """Return the pipeline that writes the report and the model card."""
    return pipeline(
        [
            node(
                gather_report_facts,
                name="gather_report_facts",
                inputs=[
                    "metric_intervals",
                    "per_class_metrics",
                    "slices",
                    "fairness",
                    "slice_comparison",
                    "split_counts",
                    "registered_model",
                    "findings",
                    "calibration",
                    "test_metrics",
                    "explanation_metrics",
                    "ingestion_summary",
                    "network",
                    "splits",
                    "params:images",
                ],
                outputs="report_facts",
            ),
            node(
                draw_charts,
                name="draw_charts",
                inputs=["history", "test_predictions", "baseline_predictions", "slices", "params:training"],
                outputs=CHARTS,
            ),
            node(
                write_report_page,
                name="write_report_page",
                inputs={"report_facts": "report_facts", **{name: name for name in CHARTS}, **FIGURES},
                outputs="report",
            ),
            node(
                write_model_card,
                name="write_model_card",
                inputs="report_facts",
                outputs=["model_card", "model_card_page"],
            ),
        ],
        namespace="reporting",
        prefix_datasets_with_namespace=False,
    )
