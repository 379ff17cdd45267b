"""φ, splits → network, pixels, untrained model."""

from kedro.pipeline import Pipeline, node, pipeline

from goodbad_pipeline.pipelines.modelling.nodes import (
    build_model,
    cache_pixels,
    check_columns,
    choose_network,
    share_pixels,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline that chooses and builds the network; part of the stage `training`."""
    return pipeline(
        [
            node(check_columns, name="check_columns", inputs=["splits", "params:evaluation"], outputs=None),
            node(
                choose_network,
                name="choose_network",
                inputs=["splits", "params:model", "params:training", "params:registry"],
                outputs="network",
            ),
            node(
                build_model,
                name="build_model",
                inputs=["splits", "network", "params:model", "params:training", "params:registry"],
                outputs="untrained_model",
            ),
            node(cache_pixels, name="cache_pixels", inputs=["splits", "network", "params:images"], outputs="pixels"),
        ],
        namespace="training",
        prefix_datasets_with_namespace=False,
    )


def create_following_pipeline() -> Pipeline:
    """Return the pipeline by which the other processes of a distributed training read the pixels."""
    inputs = ["splits", "network", "params:images", "pixel_cache"]
    return pipeline(
        [node(share_pixels, name="share_pixels", inputs=inputs, outputs="pixels")],
        namespace="training",
        prefix_datasets_with_namespace=False,
    )
