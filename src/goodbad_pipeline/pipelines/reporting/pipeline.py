"""metrics, decision, figures → report and model card."""

from kedro.pipeline import Pipeline

from goodbad_pipeline.pipelines import named_node, stage
from goodbad_pipeline.pipelines.reporting import nodes

FIGURES = {
    "confusion_matrix": "confusion_matrix",
    "metrics": "metric_figure",
    "roc_curve": "roc_curve",
    "precision_recall_curve": "precision_recall_curve",
    "reliability": "reliability",
    "slices": "slice_figure",
    "mistakes": "mistakes",
    "top_losses": "top_losses",
    "explanations": "explanations",
    "disagreements": "disagreements",
    "history": "history_figure",
}
"""Names of figures in the report's template, with the dataset that holds each."""
CHARTS = ["history_chart", "roc_chart", "slice_chart"]
RESULTS = (
    "metric_intervals",
    "per_class_metrics",
    "slices",
    "fairness",
    "slice_comparison",
    "registered_model",
    "findings",
    "calibration",
    "test_metrics",
    "explanation_metrics",
    "network",
    "candidates",
)
"""Datasets that are arguments of `gather_facts`."""


def create_pipeline() -> Pipeline:
    """Return the pipeline that writes the report and the model card."""
    return stage(
        "reporting",
        named_node(
            nodes.gather_report_facts,
            inputs={name: name for name in ("data_facts", *RESULTS)}
            | {"labelled": "splits", "images": "params:images"},
            outputs="report_facts",
        ),
        named_node(nodes.draw_history, inputs=["history", "params:training"], outputs="history_figure"),
        named_node(
            nodes.draw_charts,
            inputs=["history", "test_predictions", "baseline_predictions", "slices", "params:training"],
            outputs=CHARTS,
        ),
        named_node(
            nodes.write_report_page,
            inputs={name: name for name in ("report_facts", "data_facts", *CHARTS)} | FIGURES,
            outputs="report",
        ),
        named_node(nodes.write_model_card, inputs="report_facts", outputs="model_card"),
        named_node(nodes.render_model_card, inputs="model_card", outputs="model_card_page"),
    )
