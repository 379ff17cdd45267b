"""raw images → images → labels, quarantine."""

from kedro.pipeline import Pipeline, node, pipeline

from goodbad_pipeline.pipelines.ingestion.nodes import (
    check_quarantine,
    draw_image_sheet,
    draw_quarantine_sheet,
    group_images,
    report_ingestion,
    scan_images,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline that turns a folder of images into the labels table."""
    return pipeline(
        [
            node(
                scan_images,
                name="scan_images",
                inputs=["params:images", "scan_journal"],
                outputs=["images", "unreadable", "listing"],
            ),
            node(
                group_images,
                name="group_images",
                inputs=["images", "unreadable", "params:images"],
                outputs=["grouped_images", "quarantine", "duplicates", "corrections"],
            ),
            node(
                report_ingestion,
                name="report_ingestion",
                inputs=["grouped_images", "quarantine", "duplicates", "corrections", "listing"],
                outputs=["ingestion_summary", "quarantine_table"],
            ),
            node(
                check_quarantine,
                name="check_quarantine",
                inputs=["grouped_images", "ingestion_summary", "params:images"],
                outputs="labels",
            ),
            node(draw_image_sheet, name="draw_image_sheet", inputs=["labels", "params:images"], outputs="image_sheet"),
            node(
                draw_quarantine_sheet,
                name="draw_quarantine_sheet",
                inputs=["quarantine", "params:images"],
                outputs="quarantine_sheet",
            ),
        ],
        namespace="ingestion",
        prefix_datasets_with_namespace=False,
    )
