"""The scaling report pipeline."""

from goodbad_pipeline.pipelines.scaling_report.pipeline import create_pipeline
