"""The tuning pipeline."""

from goodbad_pipeline.pipelines.tuning.pipeline import create_pipeline
