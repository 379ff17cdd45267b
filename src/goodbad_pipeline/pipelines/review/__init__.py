"""The review pipeline."""

from goodbad_pipeline.pipelines.review.pipeline import create_pipeline
