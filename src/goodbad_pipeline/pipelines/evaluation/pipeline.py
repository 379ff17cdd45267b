"""validation predictions → calibration; model → predictions of the test split → metrics, findings and figures."""

from kedro.pipeline import Pipeline

from goodbad_pipeline.pipelines import named_node, stage
from goodbad_pipeline.pipelines.evaluation import nodes


def create_pipeline() -> Pipeline:
    """Return the pipeline that evaluates the trained model."""
    return stage(
        "evaluation",
        named_node(
            nodes.calibrate_model, inputs=["validation_predictions", "params:evaluation"], outputs="calibration"
        ),
        named_node(
            nodes.predict_test,
            inputs=["model", "pixels", "splits", "calibration"],
            outputs="test_predictions",
            heavy=True,
        ),
        named_node(
            nodes.predict_baselines,
            inputs=["pixels", "splits", "params:images", "params:evaluation"],
            outputs="baseline_predictions",
            heavy=True,
        ),
        named_node(
            nodes.evaluate_predictions,
            inputs=["test_predictions", "baseline_predictions", "calibration", "params:evaluation"],
            outputs=["test_metrics", "metric_comparison", "metric_intervals", "per_class_metrics"],
        ),
        named_node(
            nodes.measure_slices,
            inputs=["test_predictions", "splits", "params:evaluation"],
            outputs=["slices", "fairness", "slice_figure"],
        ),
        named_node(
            nodes.find_problems,
            inputs=[
                "splits",
                "metric_intervals",
                "per_class_metrics",
                "slices",
                "explanation_metrics",
                "test_metrics",
                "network",
                "results.stored_review",
            ],
            outputs="findings",
        ),
        named_node(
            nodes.draw_evaluation,
            inputs=["test_predictions", "baseline_predictions", "metric_comparison", "calibration"],
            outputs=["confusion_matrix", "roc_curve", "precision_recall_curve", "metric_figure", "reliability"],
        ),
        named_node(nodes.draw_mistakes, inputs=["test_predictions", "pixels"], outputs=["mistakes", "top_losses"]),
        named_node(
            nodes.explain_predictions,
            inputs=["model", "test_predictions", "pixels", "calibration", "params:images", "params:evaluation"],
            outputs=["explanations", "explanation_metrics"],
            heavy=True,
        ),
    )
