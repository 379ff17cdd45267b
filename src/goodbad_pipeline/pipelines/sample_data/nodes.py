"""Draw the sample pictures."""

from pathlib import Path

import pandas as pd

from goodbad_pipeline.images.sample import write_sample
from goodbad_pipeline.params import SampleParams


def draw_sample_data(sample: SampleParams) -> pd.DataFrame:
    """Draw every sample picture into the sample's folder and return its manifest."""
    return pd.read_csv(write_sample(Path(sample.root), sample.seed))
