"""model → calibration on validation → predictions of the test split → metrics, findings and figures."""

from kedro.pipeline import Pipeline

from goodbad_pipeline.pipelines import named_node, stage
from goodbad_pipeline.pipelines.evaluation.nodes import (
    calibrate_model,
    draw_evaluation,
    draw_mistakes,
    evaluate_predictions,
    explain_predictions,
    find_problems,
    measure_slices,
    predict_baselines,
    predict_test,
    predict_validation,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline that evaluates the trained model."""
    return stage(
        "evaluation",
        named_node(predict_validation, inputs=["model", "pixels", "splits"], outputs="validation_predictions"),
        named_node(calibrate_model, inputs=["validation_predictions", "params:evaluation"], outputs="calibration"),
        named_node(predict_test, inputs=["model", "pixels", "splits", "calibration"], outputs="test_predictions"),
        named_node(
            predict_baselines,
            inputs=["pixels", "splits", "params:images", "params:evaluation"],
            outputs="baseline_predictions",
        ),
        named_node(
            evaluate_predictions,
            inputs=["test_predictions", "baseline_predictions", "calibration", "params:evaluation"],
            outputs=["test_metrics", "metric_comparison", "metric_intervals", "per_class_metrics"],
        ),
        named_node(
            measure_slices,
            inputs=["test_predictions", "splits", "params:evaluation"],
            outputs=["slices", "fairness", "slice_figure"],
        ),
        named_node(
            find_problems,
            inputs=[
                "splits",
                "metric_intervals",
                "per_class_metrics",
                "slices",
                "explanation_metrics",
                "test_metrics",
                "network",
            ],
            outputs="findings",
        ),
        named_node(
            draw_evaluation,
            inputs=["test_predictions", "baseline_predictions", "metric_comparison", "calibration"],
            outputs=["confusion_matrix", "roc_curve", "precision_recall_curve", "metric_figure", "reliability"],
        ),
        named_node(draw_mistakes, inputs=["test_predictions", "pixels"], outputs=["mistakes", "top_losses"]),
        named_node(
            explain_predictions,
            inputs=["model", "test_predictions", "pixels", "calibration", "params:images", "params:evaluation"],
            outputs=["explanations", "explanation_metrics"],
        ),
    )
