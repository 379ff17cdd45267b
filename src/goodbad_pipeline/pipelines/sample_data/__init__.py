"""The sample_data pipeline."""

from goodbad_pipeline.pipelines.sample_data.pipeline import create_pipeline
