"""A folder or manifest → predictions of a registered model."""

from kedro.pipeline import Pipeline, node, pipeline

from goodbad_pipeline.pipelines.prediction.nodes import (
    draw_predictions,
    predict_files,
    separate_quarantine,
    summarise_predictions,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline that predicts."""
    return pipeline(
        [
            node(
                predict_files,
                name="predict_files",
                inputs=["params:predict", "params:images", "params:registry"],
                outputs="predictions",
            ),
            node(
                separate_quarantine,
                name="separate_quarantine",
                inputs="predictions",
                outputs=["predictions_table", "prediction_quarantine"],
            ),
            node(
                summarise_predictions,
                name="summarise_predictions",
                inputs="predictions",
                outputs="prediction_summary",
            ),
            node(
                draw_predictions,
                name="draw_predictions",
                inputs=["predictions", "params:predict", "params:images"],
                outputs="prediction_sheet",
            ),
        ],
        namespace="prediction",
        prefix_datasets_with_namespace=False,
    )
