"""Pipeline: registered version → files for other runtimes, each compared with the Keras model."""

from kedro.pipeline import Pipeline

from goodbad_pipeline.pipelines import named_node, stage
from goodbad_pipeline.pipelines.exporting import nodes


def create_pipeline() -> Pipeline:
    """Return the pipeline that exports a registered version."""
    return stage(
        "exporting",
        named_node(
            nodes.load_exported_version,
            inputs=["splits", "params:export", "params:registry"],
            outputs="exported_version",
        ),
        named_node(
            nodes.export_model,
            inputs=["exported_version", "splits", "params:export", "params:images"],
            outputs="exported_files",
            heavy=True,
        ),
        named_node(
            nodes.measure_exports,
            inputs=["exported_version", "exported_files", "splits", "params:export", "params:images"],
            outputs=["export_table", "export_metrics"],
            heavy=True,
        ),
        named_node(
            nodes.attach_exports,
            inputs=["exported_version", "exported_files", "export_table"],
            outputs="exported_model",
        ),
    )
