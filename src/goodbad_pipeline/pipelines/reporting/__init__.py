"""The reporting pipeline."""

from goodbad_pipeline.pipelines.reporting.pipeline import create_pipeline
