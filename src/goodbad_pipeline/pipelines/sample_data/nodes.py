"""Draw the sample images."""

from pathlib import Path

import pandas as pd

from goodbad_pipeline.params import SampleParams
from goodbad_pipeline.sample.dataset import write_sample


def draw_sample_data(sample: SampleParams) -> pd.DataFrame:
    """Draw every sample image into the sample's folder and return its manifest."""
    return pd.read_csv(write_sample(Path(sample.root), sample.seed))
