"""model → registered version, champion or challenger."""

from kedro.pipeline import Pipeline

from goodbad_pipeline.pipelines import named_node, stage
from goodbad_pipeline.pipelines.registration.nodes import (
    compare_with_champion,
    decide_alias,
    draw_disagreements,
    register_model,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline that registers the trained model."""
    return stage(
        "registration",
        named_node(
            compare_with_champion,
            inputs=["test_predictions", "pixels", "splits", "params:images", "params:registry"],
            outputs=["champion", "champion_predictions"],
            heavy=True,
        ),
        named_node(
            register_model,
            inputs=["model", "pixels", "splits", "network", "calibration", "params:registry"],
            outputs="model_version",
        ),
        named_node(
            decide_alias,
            inputs=[
                "model_version",
                "champion",
                "champion_predictions",
                "test_predictions",
                "splits",
                "network",
                "test_metrics",
                "params:images",
                "params:registry",
                "params:evaluation",
                "params:promotion",
            ],
            outputs=["registered_model", "slice_comparison"],
        ),
        named_node(
            draw_disagreements, inputs=["test_predictions", "champion_predictions", "pixels"], outputs="disagreements"
        ),
    )
