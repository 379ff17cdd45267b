"""φ, splits → network, pixels, untrained model."""

from kedro.pipeline import Pipeline, node, pipeline

from goodbad_pipeline.pipelines.modelling.nodes import build_model, cache_pixels, check_columns, choose_network


def create_pipeline() -> Pipeline:
    """Return the pipeline that builds the network."""
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
        namespace="modelling",
        prefix_datasets_with_namespace=False,
    )
