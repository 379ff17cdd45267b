"""A seed → the sample images."""

from kedro.pipeline import Pipeline, node, pipeline

from goodbad_pipeline.pipelines.sample_data.nodes import draw_sample_data


def create_pipeline() -> Pipeline:
    """Return the pipeline that draws the sample again."""
    return pipeline(
        [node(draw_sample_data, name="draw_sample_data", inputs="params:sample", outputs="sample_manifest")],
        namespace="sample_data",
        prefix_datasets_with_namespace=False,
    )
