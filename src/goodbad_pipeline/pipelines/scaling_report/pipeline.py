"""The pipeline of tables and figures that show how φ changes a network. It needs no images and no training."""

from kedro.pipeline import Pipeline

from goodbad_pipeline.pipelines import named_node, stage
from goodbad_pipeline.pipelines.scaling_report import nodes


def create_pipeline() -> Pipeline:
    """Return the pipeline that reports on scaling."""
    return stage(
        "scaling_report",
        named_node(
            nodes.tabulate_stages, inputs=["params:model", "params:training", "stored_splits"], outputs="stage_costs"
        ),
        named_node(nodes.compare_with_paper, inputs=None, outputs="paper_comparison"),
        named_node(nodes.trace_phi, inputs="params:model", outputs=["phi_curve", "published_variants"]),
        named_node(nodes.draw_accuracy, inputs="paper_comparison", outputs="accuracy_by_cost"),
        named_node(
            nodes.draw_scaling,
            inputs=["phi_curve", "published_variants"],
            outputs=["scaling_coefficients", "scaling_law"],
        ),
    )
