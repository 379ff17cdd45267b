"""labels → verified labels; test metrics → comparison with the recorded run."""

from kedro.pipeline import Pipeline, node, pipeline

from goodbad_pipeline.pipelines.replay.nodes import compare_metrics, verify_run


def create_pipeline() -> Pipeline:
    """Return the first and last check of a replay; pipeline_registry adds the stages between them."""
    return pipeline(
        [
            node(
                verify_run,
                name="verify_run",
                inputs=["replay.labels", "params:replay"],
                outputs=["replay.verified_labels", "replay.checks"],
                namespace="replay",
            ),
            node(
                compare_metrics,
                name="compare_metrics",
                inputs=["replay.test_metrics", "replay.checks", "params:replay"],
                outputs=["replay_report", "replay_metrics"],
                namespace="replay",
            ),
        ]
    )
