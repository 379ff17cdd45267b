"""Pipeline: folder or manifest → predictions of a registered model."""

from kedro.pipeline import Pipeline

from goodbad_pipeline.pipelines import named_node, stage
from goodbad_pipeline.pipelines.prediction.nodes import (
    draw_predictions,
    predict_files,
    separate_quarantine,
    summarise_predictions,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline that predicts files with a registered model."""
    return stage(
        "prediction",
        named_node(
            predict_files,
            inputs=["params:predict", "params:images", "params:registry"],
            outputs="predictions",
            heavy=True,
        ),
        named_node(separate_quarantine, inputs="predictions", outputs=["predictions_table", "prediction_quarantine"]),
        named_node(summarise_predictions, inputs="predictions", outputs="prediction_summary"),
        named_node(
            draw_predictions, inputs=["predictions", "params:predict", "params:images"], outputs="prediction_sheet"
        ),
    )
