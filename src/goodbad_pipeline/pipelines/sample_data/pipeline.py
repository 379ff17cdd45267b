"""A seed → the sample images."""

from pathlib import Path

import pandas as pd
from kedro.pipeline import Pipeline

from goodbad_pipeline.params import SampleParams
from goodbad_pipeline.pipelines import named_node, stage
from goodbad_pipeline.sample.dataset import write_sample


def create_pipeline() -> Pipeline:
    """Return the pipeline that draws the sample images."""
    return stage("sample_data", named_node(draw_sample_data, inputs="params:sample", outputs="sample_manifest"))


def draw_sample_data(sample: SampleParams) -> pd.DataFrame:
    """Draw every sample image into the sample's folder and return its manifest."""
    return pd.read_csv(write_sample(Path(sample.root), sample.seed))
