"""Pipeline: labels → verified labels; test metrics → comparison with the recorded run."""

from kedro.pipeline import Pipeline

from goodbad_pipeline.pipelines import named_node, stage
from goodbad_pipeline.pipelines.replay.nodes import compare_metrics, verify_run


def create_pipeline() -> Pipeline:
    """Return the first and the last node of a replay; pipeline_registry adds the nodes that train in between."""
    return stage(
        "replayed_run",
        named_node(
            verify_run,
            inputs=["replayed_run.labels", "params:replay"],
            outputs=["replayed_run.verified_labels", "replayed_run.checks"],
        ),
        named_node(
            compare_metrics,
            inputs=["replayed_run.test_metrics", "replayed_run.checks", "params:replay"],
            outputs=["replay_report", "replay_metrics"],
        ),
    )
