"""The replay pipeline."""

from goodbad_pipeline.pipelines.replay.pipeline import create_pipeline
