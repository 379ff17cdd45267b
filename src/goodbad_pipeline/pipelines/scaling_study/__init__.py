"""The scaling study pipeline."""

from goodbad_pipeline.pipelines.scaling_study.pipeline import create_pipeline
