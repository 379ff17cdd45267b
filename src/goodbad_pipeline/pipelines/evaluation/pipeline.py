"""model → calibration on validation → predictions of the test split → metrics, findings and figures."""

from kedro.pipeline import Pipeline, node, pipeline

from goodbad_pipeline.pipelines.evaluation.drawing import draw_evaluation, draw_mistakes, explain_predictions
from goodbad_pipeline.pipelines.evaluation.nodes import (
    calibrate_model,
    evaluate_predictions,
    find_problems,
    measure_slices,
    predict_baselines,
    predict_test,
    predict_validation,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline that evaluates the trained model."""
    return pipeline(
        [
            node(
                predict_validation,
                name="predict_validation",
                inputs=["model", "pixels", "splits"],
                outputs="validation_predictions",
            ),
            node(
                calibrate_model,
                name="calibrate_model",
                inputs=["validation_predictions", "params:evaluation"],
                outputs="calibration",
            ),
            node(
                predict_test,
                name="predict_test",
                inputs=["model", "pixels", "splits", "calibration"],
                outputs="test_predictions",
            ),
            node(
                predict_baselines,
                name="predict_baselines",
                inputs=["pixels", "splits", "params:images", "params:evaluation"],
                outputs="baseline_predictions",
            ),
            node(
                evaluate_predictions,
                name="evaluate_predictions",
                inputs=["test_predictions", "baseline_predictions", "calibration", "params:evaluation"],
                outputs=["test_metrics", "metric_comparison", "metric_intervals", "per_class_metrics"],
            ),
            node(
                measure_slices,
                name="measure_slices",
                inputs=["test_predictions", "splits", "params:evaluation"],
                outputs=["slices", "fairness", "slice_figure"],
            ),
            node(
                find_problems,
                name="find_problems",
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
            node(
                draw_evaluation,
                name="draw_evaluation",
                inputs=["test_predictions", "baseline_predictions", "metric_comparison", "calibration"],
                outputs=["confusion_matrix", "roc_curve", "precision_recall_curve", "metric_figure", "reliability"],
            ),
            node(
                draw_mistakes,
                name="draw_mistakes",
                inputs=["test_predictions", "pixels"],
                outputs=["mistakes", "top_losses"],
            ),
            node(
                explain_predictions,
                name="explain_predictions",
                inputs=["model", "test_predictions", "pixels", "calibration", "params:images", "params:evaluation"],
                outputs=["explanations", "explanation_metrics"],
            ),
        ],
        namespace="evaluation",
        prefix_datasets_with_namespace=False,
    )
