"""Rank labels by the probability that they are wrong.

The evidence for each image comes from images of other groups: out-of-fold probabilities of a classifier, compared by
confident learning (arXiv 1911.00068), and the labels of the nearest neighbours.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from cleanlab.rank import get_label_quality_scores
from numpy.typing import NDArray

from goodbad_pipeline.evaluation.bootstrap import Resamples, bootstrap_interval, resample_groups
from goodbad_pipeline.evaluation.predictions import BoolArray, FloatArray, IntArray
from goodbad_pipeline.review.issues import ISSUES, LABEL, name_issues
from goodbad_pipeline.review.planting import fit_calibrator, plant_errors

SHOWN = 3
"""Neighbours of each class that a person sees."""
_REPLICATES = 400
_BLOCK = 1024
_LEAST = 1e-4
"""Added to a probability before its logarithm."""

Predict = Callable[[IntArray], FloatArray]
"""Returns out-of-fold probabilities (n, classes) of a classifier for given labels (n,)."""


@dataclass(frozen=True)
class Neighbours:
    """The images of other groups with the most similar features, nearest first."""

    indices: IntArray  # (n, k)
    similarities: FloatArray  # (n, k) cosine; -inf where there are fewer than k images of other groups

    @property
    def mean_similarity(self) -> FloatArray:
        """The mean similarity of each image to its neighbours, (n,); 0 without neighbours."""
        found = np.isfinite(self.similarities)
        return np.where(found, self.similarities, 0).sum(axis=1) / np.maximum(found.sum(axis=1), 1)

    def joined(self, ids: NDArray[np.object_]) -> NDArray[np.object_]:
        """Return the ids of the neighbours of each image, (n,), joined by spaces."""
        rows = zip(self.indices, np.isfinite(self.similarities), strict=True)
        return np.array([" ".join(ids[indices[found]]) for indices, found in rows], object)

    def votes(self, y: IntArray, classes: int) -> FloatArray:
        """Return the share of the neighbours with each label, (n, classes)."""
        found = np.isfinite(self.similarities)
        counts = np.zeros((len(y), classes))
        for column in range(self.indices.shape[1]):
            counts[np.arange(len(y)), y[self.indices[:, column]]] += found[:, column]
        return counts / np.maximum(found.sum(axis=1, keepdims=True), 1)


@dataclass(frozen=True)
class Suspicion:
    """Why a label may be wrong, for each image."""

    second: IntArray  # (n,) the most probable of the other classes
    p_label: FloatArray  # (n,) out-of-fold probability of the label
    p_second: FloatArray
    votes: FloatArray  # (n,) share of the neighbours that have the label
    agreed: BoolArray  # (n,) all images of the group with this label have a more probable class, and the same one
    evidence: FloatArray  # (n, f) equal for images that agree
    of_group: FloatArray  # (n, 1) evidence that all labels of the group are wrong


@dataclass(frozen=True)
class Ranking:
    """Suspicion and calibrated probability for each image, and the share of wrong labels."""

    suspicion: Suspicion
    scores: FloatArray  # (n,) higher is more suspicious
    probability: FloatArray  # (n,) that the label is wrong
    shares: (
        pd.DataFrame
    )  # class, images, share of wrong labels, low, high; the first row, of all classes, has an empty class


def rank_labels(
    y: IntArray,
    groups: IntArray,
    class_names: list[str],
    predict: Predict,
    neighbours: Neighbours,
    planted: float,
    seed: int,
) -> Ranking:
    """Rank the labels ``y`` (n,), class indices.

    A label may be wrong by itself or together with all labels of its group. Each of these errors is planted in a
    ``planted`` share of the labels, to calibrate the evidence for it. The labels of a class with one group cannot be
    judged: their probability is 0, and their share of wrong labels is NaN.
    """
    pairs = np.unique(np.stack([groups, y]), axis=1)
    judged = np.bincount(pairs[1])[y] > 1
    suspicion = _suspect(y, groups, predict(y), neighbours)
    resamples = resample_groups(groups, _REPLICATES, seed)
    odds = np.zeros((len(resamples.weights), len(y)))
    for whole_groups in (False, True):
        trial = plant_errors(y, groups, len(class_names), planted, [seed, int(whole_groups)], whole_groups=whole_groups)
        tried = _suspect(trial.y, groups, predict(trial.y), neighbours)
        evidence, of_trial = (one.of_group if whole_groups else one.evidence for one in (suspicion, tried))
        used = np.flatnonzero(judged & (np.bincount(groups)[groups] > 1) if whole_groups else judged)
        if not 0 < trial.wrong[used].sum() < len(used):
            continue
        calibrator = fit_calibrator(of_trial[used], trial.wrong[used])
        shares = calibrator.shares(Resamples(resamples.codes[used], resamples.weights))
        odds[:, used] += np.nan_to_num(shares)[:, None] * calibrator.ratio(evidence[used])
    probability = np.minimum(1, odds)
    rows = []
    for index, name in [(None, ""), *enumerate(class_names)]:
        of_class = judged if index is None else judged & (y == index)
        codes = resamples.codes[of_class]
        drawn = resamples.weights[:, codes]
        with np.errstate(invalid="ignore"):  # a resample may lack a class
            values = (probability[:, of_class] * drawn).sum(axis=1) / drawn.sum(axis=1)
        interval = bootstrap_interval(values, len(np.unique(codes)), share=True)
        rows.append((name, int(of_class.sum()), *interval))
    table = pd.DataFrame(rows, columns=["class", "images", "share", "low", "high"])
    return Ranking(suspicion, odds[0], probability[0], table)


def _suspect(y: IntArray, groups: IntArray, probabilities: FloatArray, neighbours: Neighbours) -> Suspicion:
    rows, classes = np.arange(len(y)), probabilities.shape[1]
    others = probabilities.copy()
    others[rows, y] = -1
    second = others.argmax(axis=1)
    p_label, p_second = probabilities[rows, y], others[rows, second]
    votes = neighbours.votes(y, classes)
    for_label, for_others = votes[rows, y], votes.copy()
    for_others[rows, y] = -1
    k = neighbours.indices.shape[1]
    ratio = np.log(p_second + _LEAST) - np.log(p_label + _LEAST)
    evidence = np.stack(
        [
            ratio,
            1 - get_label_quality_scores(y, probabilities, method="normalized_margin"),
            np.log(for_others.max(axis=1) + 1 / k) - np.log(for_label + 1 / k),
            -np.log(np.bincount(y)[y]),  # of the labels of a rare class, more are errors of frequent classes
        ],
        axis=1,
    )
    of_group = (np.bincount(groups, ratio) / np.bincount(groups))[groups][:, None]
    cells = np.unique(np.stack([groups, y]), axis=1, return_inverse=True)[1].ravel()
    table = pd.DataFrame({"cell": cells, "second": second, "other": p_second > p_label}).groupby("cell")
    agreed = ((table["second"].transform("nunique") == 1) & table["other"].transform("all")).to_numpy()
    pooled = pd.DataFrame(evidence).groupby(cells).transform("mean").to_numpy()
    return Suspicion(
        second, p_label, p_second, for_label, agreed, np.where(agreed[:, None], pooled, evidence), of_group
    )


def review_table(
    images: pd.DataFrame,
    class_names: list[str],
    ranking: Ranking,
    examples: tuple[Neighbours, Neighbours],
    found: pd.DataFrame,
    least_probability: float,
) -> pd.DataFrame:
    """Return one row per image, most suspicious first.

    Args:
        images: image_id, path, group, label and split, in the order of the ranking.
        class_names: Names of the classes.
        ranking: The result of `rank_labels`.
        examples: The nearest images with the label, and with the most probable other class.
        found: The result of `find_issues`.
        least_probability: Probability from which a label counts as probably wrong.
    """
    suspicion = ranking.suspicion
    names, ids = np.array(class_names, object), images["image_id"].to_numpy(object)
    suggests = (ranking.probability >= least_probability) & (suspicion.p_second > suspicion.p_label)
    other = names[suspicion.second]
    table = images[["image_id", "path", "group", "label", "split"]].assign(
        suggested=np.where(suggests, other, images["label"]),
        probability=ranking.probability,
        p_label=suspicion.p_label,
        p_suggested=np.where(suggests, suspicion.p_second, suspicion.p_label),
        neighbours=suspicion.votes,
        nearest_label=examples[0].joined(ids),
        nearest_suggested=np.where(suggests, examples[1].joined(ids), ""),
        issue=name_issues(found.assign(**{LABEL: suggests})),
    )
    sizes = images.groupby(["group", "label"])["label"].transform("size").to_numpy()
    table["evidence"] = [
        _sentence(row, str(name), int(size) if agreed else 1)
        for row, name, size, agreed in zip(table.itertuples(), other, sizes, suspicion.agreed, strict=True)
    ]
    order = np.lexsort((suspicion.p_label, images["group"], -ranking.scores, ~suggests))
    return table.iloc[order].reset_index(drop=True)


def _sentence(row: Any, other: str, agreeing: int) -> str:
    problem = "" if row.issue in ("", LABEL) else f"{ISSUES[row.issue]}. "
    named = f"'{other}' {row.p_suggested:.0%} and " if row.suggested == other else ""
    agreement = f"; all {agreeing} images of the group with this label agree" if agreeing > 1 else ""
    return (
        f"{problem}The classifier gives {named}the label '{row.label}' {row.p_label:.0%}; of the most similar images "
        f"of other groups, {row.neighbours:.0%} have this label{agreement}."
    )


def find_neighbours(features: FloatArray, groups: IntArray, count: int) -> Neighbours:
    """Return up to ``count`` nearest images of other groups."""
    count = min(count, len(features) - 1)
    found = [_top(similar, count) for _, similar in _similarities(features, groups)]
    return Neighbours(*map(np.concatenate, zip(*found, strict=True)))


def find_examples(features: FloatArray, groups: IntArray, y: IntArray, wanted: IntArray) -> Neighbours:
    """Return the nearest `SHOWN` images of other groups whose label is the class in ``wanted`` (n,)."""
    found = []
    for rows, similar in _similarities(features, groups):
        similar[y[None, :] != wanted[rows, None]] = -np.inf
        found.append(_top(similar, min(SHOWN, len(y))))
    return Neighbours(*map(np.concatenate, zip(*found, strict=True)))


def _similarities(features: FloatArray, groups: IntArray) -> Iterator[tuple[slice, FloatArray]]:
    """Yield blocks of rows, and their cosine similarities to all images, -inf for images of the same group."""
    scale = features.std(axis=0)
    standard = (features - features.mean(axis=0)) / np.maximum(scale, max(0.3 * float(np.median(scale)), 1e-9))
    units = standard / np.maximum(np.linalg.norm(standard, axis=1, keepdims=True), 1e-9)
    for start in range(0, len(units), _BLOCK):
        rows = slice(start, start + _BLOCK)
        similar = units[rows] @ units.T
        similar[groups[rows, None] == groups[None, :]] = -np.inf
        yield rows, similar


def _top(similar: FloatArray, count: int) -> tuple[Any, Any]:
    candidates = np.argpartition(-similar, count - 1, axis=1)[:, :count]
    values = np.take_along_axis(similar, candidates, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(candidates, order, axis=1), np.take_along_axis(values, order, axis=1)
