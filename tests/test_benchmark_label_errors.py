"""The benchmark of planted wrong labels, on features that tell the classes."""

import numpy as np
import pandas as pd
import pytest
from benchmarks.label_errors import measure
from factories import parameters

from goodbad_pipeline.params import validate_parameters


@pytest.mark.long
def test_planted_labels_are_found_and_test_labels_stay() -> None:
    rng = np.random.default_rng(0)
    numbers = np.arange(240)
    true = numbers // 2 % 2
    splits = pd.DataFrame(
        {
            "image_id": [f"{number:064x}" for number in numbers],
            "path": [f"{number}.png" for number in numbers],
            "group": [f"group {number // 2}" for number in numbers],
            "copies": [f"{number}" for number in numbers],
            "label": np.where(true, "good", "bad"),
            "split": np.where(numbers < 200, "train", "test"),
            "width": 40,
            "height": 40,
        }
    )
    features = (2 * true[:, None] + rng.normal(size=(240, 6))).astype(np.float32)
    measures = pd.DataFrame({"darkest": 0.1, "brightest": 0.9, "contrast": 0.3, "sharpness": 1.0}, splits.index)
    review = validate_parameters(parameters())["review"]
    rows = pd.DataFrame(measure(splits, features, measures, review, seeds=[0]))
    assert rows[["share", "whole_groups"]].values.tolist() == [[0.05, False], [0.05, True], [0.1, False], [0.1, True]]
    assert (rows["found"] >= 0.8).all()
    assert (rows["clean"] > 0.9).all()
    assert (rows["looked_at"] >= rows["noisy"] - 0.05).all()
    assert rows[["low", "estimate", "high"]].apply(lambda row: row.is_monotonic_increasing, axis=1).all()
