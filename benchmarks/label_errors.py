"""``python -m benchmarks.label_errors``: plant wrong labels in a project's splits, and review them.

Prints the share of the planted labels that is found among twice as many suggestions, the estimated share of wrong
labels with its interval, and the balanced accuracy on the test split of a logistic regression on frozen features. The
regression is trained with the wrong labels (noisy), with the suggested labels that are more probably right than wrong
(accepted), after a person looked at the first suggestions (looked_at), and without planted errors (clean). Test labels
stay the same.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score

from benchmarks.ingested import read_project
from goodbad_pipeline.datasets import PixelCacheDataset
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.params import validate_parameters
from goodbad_pipeline.pipelines.review import nodes
from goodbad_pipeline.review.issues import LABEL
from goodbad_pipeline.review.planting import plant_errors
from goodbad_pipeline.training.linear_head import fit_linear_head
from goodbad_pipeline.training.stopping import StopRequest

SHARES = (0.05, 0.1)
SURE = 0.5
"""Probability that the suggested label is right, from which it is accepted without a look."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one line per share, kind of error and seed, then the means and medians."""
    parser = argparse.ArgumentParser("label_errors", description=__doc__)
    parser.add_argument("--project", type=Path, default=Path(), help="folder in which --pipeline=data has run")
    parser.add_argument("--params", default="", help="as in kedro run --params")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args(arguments)
    project = read_project(options.project, options.params)
    parameters, splits = validate_parameters(project.parameters), project.splits(0)
    cache = PixelCacheDataset(filepath=str(options.project / "data/05_model_input/pixels")).load()
    groups = [parameters[name] for name in ("model", "training", "images")]
    start = time.perf_counter()
    features, measures = nodes.describe_images(splits, *groups, cache, StopRequest())
    print(f"{project.name}: {len(splits)} images, features in {time.perf_counter() - start:.0f} s", flush=True)
    rows = []
    for row in measure(splits, features, measures, parameters["review"], options.seeds):
        print("  ".join(f"{name} {value:.3g}" for name, value in row.items()), flush=True)
        rows.append(row)
    table = pd.DataFrame(rows).drop(columns="seed").groupby(["share", "whole_groups"])
    print(table.mean().round(3).to_string(), "medians", table.median().round(3).to_string(), sep="\n")


def measure(
    splits: pd.DataFrame, features: np.ndarray, measures: pd.DataFrame, review: Any, seeds: Sequence[int]
) -> Iterator[dict[str, float]]:
    """Yield the results of each share of errors, of single images and of whole groups, for each seed."""
    names = class_names(splits)
    y = splits["label"].map(names.index).to_numpy("int64")
    groups = pd.factorize(splits["group"])[0]
    train, test = ((splits["split"] == "test").to_numpy() == value for value in (False, True))
    position = pd.Series(np.arange(len(y)), splits["path"])

    def accuracy(labels: np.ndarray) -> float:
        head = fit_linear_head(features[train], labels[train], groups[train], len(names), seed=0)
        return float(balanced_accuracy_score(y[test], head.predict(features[test]).argmax(axis=1)))

    clean = accuracy(y)
    for share, whole_groups, seed in product(SHARES, (False, True), seeds):
        noisy = y.copy()
        planted = plant_errors(y[train], groups[train], len(names), share, [seed, 17], whole_groups=whole_groups)
        noisy[train] = planted.y
        start = time.perf_counter()
        reviewed = splits.assign(label=np.array(names)[noisy])[train].reset_index(drop=True)
        table, _, metrics = nodes.review_labels(
            reviewed, features[train], measures[train].reset_index(drop=True), review
        )
        seconds = time.perf_counter() - start
        order = position[table["path"]].to_numpy()
        first = order[: 2 * planted.wrong.sum()]
        fits = table["probability"] * table["p_suggested"] / (1 - table["p_label"])
        sure = ((table["issue"] == LABEL) & (fits >= SURE)).to_numpy()
        accepted, looked_at = noisy.copy(), noisy.copy()
        accepted[order[sure]] = table["suggested"][sure].map(names.index)
        looked_at[first] = y[first]
        yield {
            "share": share,
            "whole_groups": whole_groups,
            "seed": seed,
            "found": (noisy != y)[first].sum() / planted.wrong.sum(),
            "estimate": metrics["review_wrong_share"],
            "low": metrics["review_wrong_share_low"],
            "high": metrics["review_wrong_share_high"],
            "noisy": accuracy(noisy),
            "accepted": accuracy(accepted),
            "looked_at": accuracy(looked_at),
            "clean": clean,
            "seconds": seconds,
        }


if __name__ == "__main__":
    main()
