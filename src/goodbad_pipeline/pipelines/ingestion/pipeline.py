"""raw images → images → labels, quarantine."""

from kedro.pipeline import Pipeline

from goodbad_pipeline.pipelines import named_node, stage
from goodbad_pipeline.pipelines.ingestion import nodes


def create_pipeline() -> Pipeline:
    """Return the pipeline that turns a folder of images into the labels table."""
    return stage(
        "ingestion",
        named_node(
            nodes.scan_images,
            inputs=["params:images", "scan_journal", "stop_request"],
            outputs=["images", "unreadable", "listing"],
            heavy=True,
        ),
        named_node(
            nodes.group_images,
            inputs=["images", "unreadable", "params:images"],
            outputs=["grouped_images", "quarantine", "duplicates", "corrections"],
        ),
        named_node(
            nodes.report_ingestion,
            inputs=["grouped_images", "quarantine", "duplicates", "corrections", "listing"],
            outputs=["ingestion_summary", "quarantine_table"],
        ),
        named_node(
            nodes.check_quarantine,
            inputs=["grouped_images", "quarantine", "ingestion_summary", "params:images"],
            outputs="labels",
        ),
        named_node(nodes.draw_image_sheet, inputs=["labels", "params:images"], outputs="image_sheet"),
        named_node(nodes.draw_quarantine_sheet, inputs=["quarantine", "params:images"], outputs="quarantine_sheet"),
    )
