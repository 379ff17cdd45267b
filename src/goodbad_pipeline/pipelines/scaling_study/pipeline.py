"""splits → networks of equal cost → trials → comparison."""

from kedro.pipeline import Pipeline, node, pipeline

from goodbad_pipeline.pipelines.scaling_study.nodes import (
    compare_networks,
    draw_study,
    match_networks,
    train_networks,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline that compares one dimension with all three."""
    return pipeline(
        [
            node(
                match_networks,
                name="match_networks",
                inputs=["splits", "params:scaling_study", "params:model.coefficients"],
                outputs="study_networks",
            ),
            node(
                train_networks,
                name="train_networks",
                inputs=[
                    "study_networks",
                    "splits",
                    "params:images",
                    "params:training",
                    "params:scaling_study",
                    "pixel_cache",
                    "trial_cache",
                    "stop_request",
                ],
                outputs="study_trials",
            ),
            node(
                compare_networks,
                name="compare_networks",
                inputs=["study_networks", "study_trials", "splits"],
                outputs=["study_table", "study_report"],
            ),
            node(draw_study, name="draw_study", inputs="study_table", outputs="study_figure"),
        ],
        namespace="scaling_study",
        prefix_datasets_with_namespace=False,
    )
