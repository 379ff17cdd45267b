"""Pipeline: labels → verified labels; test metrics → comparison with the recorded run."""

from kedro.pipeline import Pipeline

from goodbad_pipeline.pipelines import named_node, stage
from goodbad_pipeline.pipelines.replay.nodes import compare_metrics, verify_run


def create_pipeline() -> Pipeline:
    """Return the first and last check of a replay; pipeline_registry adds the stages between them."""
    return stage(
        "replay",
        named_node(
            verify_run,
            inputs=["replay.labels", "params:replay"],
            outputs=["replay.verified_labels", "replay.checks"],
        ),
        named_node(
            compare_metrics,
            inputs=["replay.test_metrics", "replay.checks", "params:replay"],
            outputs=["replay_report", "replay_metrics"],
        ),
    )
