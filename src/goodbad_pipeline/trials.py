"""Trains the networks of a table for the pipelines that compare networks."""

from pathlib import Path

import pandas as pd

from goodbad_pipeline.images.pixels import PixelCache
from goodbad_pipeline.params import ImageParams, TrainingParams, TrialParams
from goodbad_pipeline.training.devices import prepare_device
from goodbad_pipeline.training.recording import TRIAL_MOMENTUM, TrialRecorder


def try_networks(
    table: pd.DataFrame,
    splits: pd.DataFrame,
    images: ImageParams,
    training: TrainingParams,
    trials: TrialParams,
    pixel_cache: PixelCache,
    trial_record: TrialRecorder,
) -> pd.DataFrame:
    """Train every network of a table from every seed, and measure each on the validation split.

    Args:
        table: One row a network: network, depth, width, resolution, and what else is shown beside its trials.
        splits: The pictures; those of test are left alone.
        images: How pictures are decoded.
        training: How networks are trained, but for what `trials` says.
        trials: Base, seeds, epochs, batch size and rate.
        pixel_cache: Decodes pictures once for each resolution.
        trial_record: Keeps what is done.

    Returns:
        One row a trial.
    """
    from goodbad_pipeline.training.development import development_data  # noqa: PLC0415 - imports Keras
    from goodbad_pipeline.training.trials import TrialSetup, read_networks, run_trials  # noqa: PLC0415

    device = prepare_device(training.precision, training.xla, training.seed)
    recipe = trials.recipe(training.recipe(jit_compile=device.jit_compile))
    return run_trials(
        read_networks(table, trials.base.scale),
        trials.seeds,
        development_data(splits, Path(images.root), images.transform, pixel_cache, images.cache_gb),
        TrialSetup(recipe, training.batch_norm_momentum or TRIAL_MOMENTUM, device.precision),
        trial_record,
    )
