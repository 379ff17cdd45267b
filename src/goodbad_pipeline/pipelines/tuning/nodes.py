"""Nodes of the hyperparameter search; they use train and validation images only."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pandas as pd
import yaml

from goodbad_pipeline import lazy
from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.evaluation.metrics import VALIDATION_METRICS, larger_is_better
from goodbad_pipeline.experiments.tuning import TuningContext
from goodbad_pipeline.images.pixels import PixelCache
from goodbad_pipeline.params import ImageParams, ModelParams, RegistryParams, TrainingParams, TuneParams
from goodbad_pipeline.params.experiments import RATES
from goodbad_pipeline.training.stopping import StopRequest

analysis = lazy.load("goodbad_pipeline.experiments.analysis")
lr_range_test = lazy.load("goodbad_pipeline.experiments.lr_range_test")


def build_tuning_context(
    development: pd.DataFrame,
    network: dict[str, Any],
    model: ModelParams,
    training: TrainingParams,
    images: ImageParams,
    registry: RegistryParams,
    pixel_cache: PixelCache,
    stop_request: StopRequest,
) -> TuningContext:
    """Collect the inputs that all trainings of the search share. Images are decoded when the first training begins."""
    return TuningContext(development, network, model, training, images, registry.name, pixel_cache, stop_request)


def find_learning_rates(context: TuningContext, tune: TuneParams) -> tuple[pd.DataFrame, dict[str, float]]:
    """Run the learning-rate range test; return its curve and the range of rates to search."""
    curve = context.run_range_test(tune)
    low, high = lr_range_test.suggest_range(curve)
    present = getattr(context.training, RATES[0 if context.pretrained else 1].split(".")[1])
    return curve, {"low": min(low, present), "high": max(high, present), "present": present}


def draw_learning_rates(curve: pd.DataFrame, rates: dict[str, float]) -> figures.Figure:
    """Draw the loss against the learning rate."""
    return figures.rate_figure(curve, rates)


def choose_parameters(
    finals: pd.DataFrame, development: pd.DataFrame, tune: TuneParams
) -> tuple[pd.DataFrame, dict[str, Any], dict[str, float], str]:
    """Rank the finalists; return the ranking, the winner's parameters, metrics, and YAML that sets the parameters."""
    groups = development.loc[development["split"] == "validation", "group"].nunique()
    larger = larger_is_better(tune.metric)
    ranking = analysis.rank_finalists(finals, tune.metric, larger_is_better=larger, groups=groups)
    best, conclusion = ranking.iloc[0], analysis.conclude(ranking, finals, tune.metric, groups)
    values = json.loads(best["values"])
    means = finals.groupby("trial")[list(VALIDATION_METRICS)].mean().to_dict("index")
    metrics = {f"best_{name}": float(value) for name, value in means[best["trial"]].items()}
    metrics |= {f"present_{name}": float(value) for name, value in means.get(0, {}).items()}
    return ranking, values, metrics, _snippet(values, conclusion)


def draw_search(trials: pd.DataFrame, finals: pd.DataFrame, tune: TuneParams) -> figures.Figure:
    """Draw the results of all trials and of the finalists."""
    return figures.search_figure(trials, finals, tune.metric)


def _snippet(values: dict[str, Any], conclusion: str) -> str:
    settings = ",".join(f"{name}={json.dumps(value).strip(chr(34))}" for name, value in values.items())
    lines = [
        "# Found by kedro run --pipeline=tune; paste into conf/local/parameters.yml, or",
        f"# kedro run --pipeline=train {shlex.quote(f'--params={settings}')}",
        f"# {conclusion}",
        yaml.safe_dump(analysis.nest(values), sort_keys=False, allow_unicode=True),
    ]
    return "\n".join(lines)
