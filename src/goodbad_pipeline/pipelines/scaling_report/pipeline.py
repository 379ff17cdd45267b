"""φ → tables and figures of its meaning, compared with the paper. Reads no images and trains nothing."""

from kedro.pipeline import Pipeline, node, pipeline

from goodbad_pipeline.pipelines.scaling_report.nodes import (
    compare_with_paper,
    draw_accuracy,
    draw_scaling,
    tabulate_stages,
    trace_phi,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline that reports on scaling."""
    return pipeline(
        [
            node(
                tabulate_stages,
                name="tabulate_stages",
                inputs=["params:model", "params:training", "stored_splits"],
                outputs="stage_costs",
            ),
            node(compare_with_paper, name="compare_with_paper", inputs=None, outputs="paper_comparison"),
            node(trace_phi, name="trace_phi", inputs="params:model", outputs=["phi_curve", "published_variants"]),
            node(draw_accuracy, name="draw_accuracy", inputs="paper_comparison", outputs="accuracy_by_cost"),
            node(
                draw_scaling,
                name="draw_scaling",
                inputs=["phi_curve", "published_variants"],
                outputs=["scaling_coefficients", "scaling_law"],
            ),
        ],
        namespace="scaling_report",
        prefix_datasets_with_namespace=False,
    )
