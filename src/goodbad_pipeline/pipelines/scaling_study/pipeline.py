"""Pipeline: splits → networks of equal cost → trials → comparison."""

from kedro.pipeline import Pipeline

from goodbad_pipeline.pipelines import named_node, stage
from goodbad_pipeline.pipelines.scaling_study import nodes


def create_pipeline() -> Pipeline:
    """Return the pipeline that compares scaling one dimension with scaling all three."""
    return stage(
        "scaling_study",
        named_node(
            nodes.match_networks,
            inputs=["splits", "params:scaling_study", "params:model.coefficients"],
            outputs="study_networks",
        ),
        named_node(
            nodes.train_networks,
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
            heavy=True,
        ),
        named_node(
            nodes.compare_networks,
            inputs=["study_networks", "study_trials", "splits"],
            outputs=["study_table", "study_report"],
        ),
        named_node(nodes.draw_study, inputs="study_table", outputs="study_figure"),
    )
