"""model → predictions on the test split → metrics and figures."""

from kedro.pipeline import Pipeline, node, pipeline

from goodbad_pipeline.pipelines.evaluation.nodes import (
    draw_evaluation,
    draw_mistakes,
    evaluate_predictions,
    predict_baselines,
    predict_test,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline that evaluates the trained model."""
    return pipeline(
        [
            node(predict_test, name="predict_test", inputs=["model", "pixels", "splits"], outputs="test_predictions"),
            node(
                predict_baselines,
                name="predict_baselines",
                inputs=["pixels", "splits", "params:evaluation"],
                outputs="baseline_predictions",
            ),
            node(
                evaluate_predictions,
                name="evaluate_predictions",
                inputs=["test_predictions", "baseline_predictions"],
                outputs=["test_metrics", "metric_comparison", "per_class_metrics"],
            ),
            node(
                draw_evaluation,
                name="draw_evaluation",
                inputs=["test_predictions", "baseline_predictions", "metric_comparison"],
                outputs=["confusion_matrix", "roc_curve", "metric_figure"],
            ),
            node(draw_mistakes, name="draw_mistakes", inputs=["test_predictions", "pixels"], outputs="mistakes"),
        ],
        namespace="evaluation",
        prefix_datasets_with_namespace=False,
    )
