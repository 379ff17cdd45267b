"""The training pipeline."""

from goodbad_pipeline.pipelines.training.pipeline import create_following_pipeline, create_pipeline
