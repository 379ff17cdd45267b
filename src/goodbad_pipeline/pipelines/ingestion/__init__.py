"""The ingestion pipeline."""

from goodbad_pipeline.pipelines.ingestion.pipeline import create_pipeline

__all__ = ["create_pipeline"]
