"""The replay pipeline."""

from goodbad_pipeline.pipelines.replay.pipeline import create_pipeline

__all__ = ["create_pipeline"]
