"""pixels, untrained model → trained model."""

from kedro.pipeline import Pipeline, node, pipeline

from goodbad_pipeline.pipelines.training.nodes import train_model


def create_pipeline() -> Pipeline:
    """Return the pipeline that trains the network."""
    return pipeline(
        [
            node(
                train_model,
                name="train_model",
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
                outputs=["model", "history"],
            ),
        ],
        namespace="training",
        prefix_datasets_with_namespace=False,
    )
