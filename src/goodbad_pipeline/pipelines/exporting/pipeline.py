"""A registered version → files of other runtimes, each compared with it."""

from kedro.pipeline import Pipeline, node, pipeline

from goodbad_pipeline.pipelines.exporting.nodes import (
    attach_exports,
    export_model,
    load_exported_version,
    measure_exports,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline that exports a registered version."""
    return pipeline(
        [
            node(
                load_exported_version,
                name="load_exported_version",
                inputs=["params:export", "params:registry"],
                outputs="exported_version",
            ),
            node(
                export_model,
                name="export_model",
                inputs=["exported_version", "splits", "params:export", "params:images"],
                outputs="exported_files",
            ),
            node(
                measure_exports,
                name="measure_exports",
                inputs=["exported_version", "exported_files", "splits", "params:export", "params:images"],
                outputs=["export_table", "export_metrics"],
            ),
            node(
                attach_exports,
                name="attach_exports",
                inputs=["exported_version", "exported_files", "export_table"],
                outputs="exported_model",
            ),
        ],
        namespace="exporting",
        prefix_datasets_with_namespace=False,
    )
