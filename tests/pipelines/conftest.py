"""What the nodes of evaluation leave, for the tests of evaluation and of registration."""

from types import SimpleNamespace

import numpy as np
import pytest
from evaluation_kit import NETWORK, read_splits, small_model
from factories import parameters, write_manifest

from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.evaluation.predictions import prediction_table
from goodbad_pipeline.images.pixels import Pixels
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.params import validate_parameters
from goodbad_pipeline.pipelines.evaluation import nodes as evaluation
from goodbad_pipeline.pipelines.training.nodes import cache_pixels
from goodbad_pipeline.training.batches import predict


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> SimpleNamespace:
    """What the nodes of evaluation give, by the names of the catalog."""
    root = write_manifest(tmp_path_factory.mktemp("run"), groups=40)
    changes = {"images__root": str(root), "evaluation__replicates": 300, "evaluation__sensitive": ["weather"]}
    typed = validate_parameters(parameters(**changes, evaluation__abstain_at_error=0.01))
    images, params = typed["images"], typed["evaluation"]
    splits = read_splits(root)
    source = cache_pixels(splits, NETWORK, images)
    pixels = Pixels(np.array(source.image_ids), np.concatenate(list(source.blocks())), source.transform)
    model = small_model()
    held = splits[splits["split"] == "validation"]
    probabilities = predict(model, pixels.array, pixels.rows(held["image_id"]))
    validation = prediction_table(held, probabilities, Calibration(class_names(splits)))
    calibration = evaluation.calibrate_model(validation, params)
    test = evaluation.predict_test(model, pixels, splits, calibration)
    baselines = evaluation.predict_baselines(pixels, splits, images, params)
    metrics, comparison, intervals, per_class = evaluation.evaluate_predictions(test, baselines, calibration, params)
    slices, fairness, slice_figure = evaluation.measure_slices(test, splits, params)
    explanations, seeing = evaluation.explain_predictions(model, test, pixels, calibration, images, params)
    measured = intervals, per_class, slices, seeing, metrics
    return SimpleNamespace(**{name: value for name, value in locals().items() if name != "tmp_path_factory"})
