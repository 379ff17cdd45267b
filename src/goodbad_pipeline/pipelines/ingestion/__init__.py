"""The ingestion pipeline."""

from goodbad_pipeline.pipelines.ingestion.pipeline import create_pipeline
