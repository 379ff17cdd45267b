"""The pipeline that chooses, builds and trains the network."""

from kedro.pipeline import Pipeline

from goodbad_pipeline.pipelines import named_node, stage
from goodbad_pipeline.pipelines.training import nodes

NAMESPACE = "training"


def create_pipeline() -> Pipeline:
    """Return the pipeline that chooses, builds and trains the network."""
    return stage(
        NAMESPACE,
        named_node(nodes.check_columns, inputs=["splits", "params:evaluation"], outputs=None),
        named_node(
            nodes.choose_network,
            inputs=[
                "splits",
                "params:model",
                "params:training",
                "params:registry",
                "params:images",
                "pixel_cache",
            ],
            outputs="network",
        ),
        named_node(
            nodes.build_model,
            inputs=["splits", "network", "params:model", "params:training", "params:registry"],
            outputs="untrained_model",
        ),
        named_node(nodes.cache_pixels, inputs=["splits", "network", "params:images"], outputs="pixels", heavy=True),
        named_node(
            nodes.train_model,
            inputs=[
                "untrained_model",
                "pixels",
                "splits",
                "network",
                "params:model",
                "params:training",
                "params:images",
                "epoch_log",
                "checkpoints",
                "stop_request",
            ],
            outputs=["model", "history", "candidates", "validation_predictions"],
            heavy=True,
        ),
    )


def create_following_pipeline() -> Pipeline:
    """Return the pipeline for all processes of a distributed training except the first, which decodes the images."""
    inputs = ["splits", "network", "params:images", "pixel_cache"]
    return stage(NAMESPACE, named_node(nodes.share_pixels, inputs=inputs, outputs="pixels", heavy=True))
