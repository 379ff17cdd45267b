"""The evaluation pipeline."""

from goodbad_pipeline.pipelines.evaluation.pipeline import create_pipeline
