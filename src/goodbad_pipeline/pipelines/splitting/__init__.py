"""The splitting pipeline."""

from goodbad_pipeline.pipelines.splitting.pipeline import create_pipeline
