"""labels → splits, their counts and figures, and facts about the data for the report."""

from kedro.pipeline import Pipeline

from goodbad_pipeline.pipelines import named_node, stage
from goodbad_pipeline.pipelines.splitting import nodes

DATA_FACTS = ("ingestion_summary", "split_counts", "leak_report", "leak_metrics")
DATA_FIGURES = ("image_sheet", "quarantine_sheet", "split_figure")


def create_pipeline() -> Pipeline:
    """Return the pipeline that splits the labels into train, validation and test."""
    return stage(
        "splitting",
        named_node(nodes.assign_splits, inputs=["labels", "params:splits", "params:images"], outputs="splits"),
        named_node(nodes.report_splits, inputs=["splits", "params:splits"], outputs=["split_counts", "split_figure"]),
        named_node(nodes.draw_split_sheets, inputs=["splits", "params:images"], outputs="split_sheets"),
        named_node(
            nodes.report_leaks, inputs=["images", "splits", "params:splits"], outputs=["leak_report", "leak_metrics"]
        ),
        named_node(
            nodes.gather_data_facts, inputs={name: name for name in (*DATA_FACTS, *DATA_FIGURES)}, outputs="data_facts"
        ),
    )
