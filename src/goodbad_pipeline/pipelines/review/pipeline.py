"""splits → features and measures → labels that are probably wrong, and other images that need a look."""

from kedro.pipeline import Pipeline

from goodbad_pipeline.pipelines import named_node, stage
from goodbad_pipeline.pipelines.review import nodes


def create_pipeline() -> Pipeline:
    """Return the pipeline that reviews the labels of the stored splits."""
    return stage(
        "review",
        named_node(nodes.choose_reviewed, inputs=["splits", "params:review"], outputs="reviewed_images"),
        named_node(
            nodes.describe_images,
            inputs=[
                "reviewed_images",
                "params:model",
                "params:training",
                "params:images",
                "pixel_cache",
                "stop_request",
            ],
            outputs=["review_features", "image_measures"],
            heavy=True,
        ),
        named_node(
            nodes.review_labels,
            inputs=["reviewed_images", "review_features", "image_measures", "params:review"],
            outputs=["label_review", "wrong_labels", "review_metrics"],
            heavy=True,
        ),
        named_node(
            nodes.draw_review,
            inputs=["label_review", "params:images"],
            outputs=["review_sheet", "suggestion_matrix"],
        ),
    )
