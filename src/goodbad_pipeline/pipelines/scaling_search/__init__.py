"""The scaling search pipeline."""

from goodbad_pipeline.pipelines.scaling_search.pipeline import create_pipeline
