"""The export pipeline."""

from goodbad_pipeline.pipelines.exporting.pipeline import create_pipeline

__all__ = ["create_pipeline"]
