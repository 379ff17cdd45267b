"""From the present parameters to better ones, by images of train and validation alone."""

from __future__ import annotations

import json
from typing import Any

import lazy_loader as lazy
import pandas as pd
import yaml

from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.evaluation.metrics import larger_is_better
from goodbad_pipeline.experiments.analysis import conclude, nest, rank_finalists
from goodbad_pipeline.experiments.study import StudyStore
from goodbad_pipeline.experiments.trial_spec import TrialCache
from goodbad_pipeline.experiments.tuning import TuningContext, confirm, search_space
from goodbad_pipeline.images.pixels import PixelCache
from goodbad_pipeline.params import ImageParams, ModelParams, RegistryParams, TrainingParams, TuneParams
from goodbad_pipeline.params.experiments import RATES
from goodbad_pipeline.training.validation import VALIDATION_METRICS

lr_range_test = lazy.load("goodbad_pipeline.experiments.lr_range_test", suppress_warning=True)


def gather_workplace(
    development: pd.DataFrame,
    network: dict[str, Any],
    model: ModelParams,
    training: TrainingParams,
    images: ImageParams,
    registry: RegistryParams,
    pixel_cache: PixelCache,
) -> TuningContext:
    """Bring together what every training of the search shares; images are decoded when the first begins."""
    return TuningContext(development, network, model, training, images, registry.name, pixel_cache)


def find_learning_rates(place: TuningContext, tune: TuneParams) -> tuple[pd.DataFrame, dict[str, float]]:
    """Make the range test for the rate of all layers: its curve, and the range to search."""
    curve = place.scan(tune)
    low, high = lr_range_test.suggest_range(curve)
    present = getattr(place.training, RATES[0 if place.pretrained else 1].split(".")[1])
    return curve, {"low": min(low, present), "high": max(high, present), "present": present}


def draw_learning_rates(curve: pd.DataFrame, rates: dict[str, float]) -> figures.Figure:
    """Show the loss against the rate."""
    return figures.rate_figure(curve, rates)


def search_parameters(
    place: TuningContext, tune: TuneParams, rates: dict[str, float], studies: StudyStore, trial_record: TrialCache
) -> pd.DataFrame:
    """Try values of the stated parameters, the present ones first; a search that was cut off goes on."""
    return search_space(place, tune, rates, studies, trial_record)


def confirm_finalists(
    place: TuningContext, tune: TuneParams, trials: pd.DataFrame, trial_record: TrialCache
) -> pd.DataFrame:
    """Train the best trials, and the present parameters, from other seeds: the luck that chose them decides nothing."""
    return confirm(place, tune, trials, trial_record)


def choose_parameters(
    finals: pd.DataFrame, development: pd.DataFrame, tune: TuneParams
) -> tuple[pd.DataFrame, dict[str, Any], dict[str, float], str]:
    """Rank the finalists; the winner's values, what it measured, and parameters to paste."""
    groups = development.loc[development["split"] == "validation", "group"].nunique()
    larger = larger_is_better(tune.metric)
    ranking = rank_finalists(finals, tune.metric, larger_is_better=larger, groups=groups)
    best, conclusion = ranking.iloc[0], conclude(ranking, finals, tune.metric, groups)
    values = json.loads(best["values"])
    means = finals.groupby("trial")[list(VALIDATION_METRICS)].mean().to_dict("index")
    metrics = {f"best_{name}": float(value) for name, value in means[best["trial"]].items()}
    metrics |= {f"present_{name}": float(value) for name, value in means.get(0, {}).items()}
    return ranking, values, metrics, _snippet(values, conclusion)


def _snippet(values: dict[str, Any], conclusion: str) -> str:
    """YAML for conf/local/parameters.yml."""
    stated = ",".join(f"{name}={json.dumps(value).strip(chr(34))}" for name, value in values.items())
    lines = [
        "# Found by kedro run --pipeline=tune; paste into conf/local/parameters.yml, or",
        f"# kedro run --pipeline=train --params={stated}",
        f"# {conclusion}",
        yaml.safe_dump(nest(values), sort_keys=False, allow_unicode=True),
    ]
    return "\n".join(lines)


def draw_search(trials: pd.DataFrame, finals: pd.DataFrame, tune: TuneParams) -> figures.Figure:
    """Show every trial and the finalists."""
    return figures.search_figure(trials, finals, tune.metric, larger_is_better=larger_is_better(tune.metric))
