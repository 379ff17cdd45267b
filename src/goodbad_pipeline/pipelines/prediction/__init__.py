"""The prediction pipeline."""

from goodbad_pipeline.pipelines.prediction.pipeline import create_pipeline
