"""model → registered version, champion or challenger."""

from kedro.pipeline import Pipeline, node, pipeline

from goodbad_pipeline.pipelines.registration.nodes import register_model


def create_pipeline() -> Pipeline:
    """Return the pipeline that registers the trained model."""
    return pipeline(
        [
            node(
                register_model,
                name="register_model",
                inputs=[
                    "model",
                    "pixels",
                    "splits",
                    "test_metrics",
                    "network",
                    "params:images",
                    "params:registry",
                ],
                outputs="registered_model",
            )
        ],
        namespace="registration",
        prefix_datasets_with_namespace=False,
    )
