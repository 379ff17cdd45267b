"""Nodes that rank the labels by how probably they are wrong, and find other images that need a look."""

from __future__ import annotations

import logging
from functools import partial

import numpy as np
import pandas as pd

from goodbad_pipeline import lazy, network_factory
from goodbad_pipeline.errors import InputError, counted
from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.images.pixels import PixelCache, pixel_source
from goodbad_pipeline.images.splits import class_names, development_part
from goodbad_pipeline.images.stores import open_root
from goodbad_pipeline.params import ImageParams, ModelParams, ReviewParams, TrainingParams
from goodbad_pipeline.review import issues
from goodbad_pipeline.tracking.run_record import labels_digest
from goodbad_pipeline.training.stopping import StopRequest

batches = lazy.load("goodbad_pipeline.training.batches")
devices = lazy.load("goodbad_pipeline.training.devices")
linear_head = lazy.load("goodbad_pipeline.training.linear_head")
ranking = lazy.load("goodbad_pipeline.review.ranking")  # imports scikit-learn

logger = logging.getLogger(__name__)

THUMBNAIL = 96
SHEET_IMAGES = 100


def choose_reviewed(splits: pd.DataFrame, review: ReviewParams) -> pd.DataFrame:
    """Return the images to review. The attribute ``labels`` is the digest of all labels."""
    reviewed = (splits if review.include_test else development_part(splits)).reset_index(drop=True)
    groups = reviewed.groupby("label")["group"].nunique()
    if (groups < 2).sum() > len(groups) - 2:
        raise InputError(
            "review: at least two classes must have images of two groups or more, because each label is compared with "
            f"images of other groups; groups by class: {', '.join(f'{name} {count}' for name, count in groups.items())}"
        )
    for name in groups.index[groups < 2]:
        logger.warning("All images of the class '%s' are of one group, so their labels cannot be judged", name)
    reviewed.attrs = {**splits.attrs, "labels": labels_digest(splits)}
    return reviewed


def describe_images(
    reviewed: pd.DataFrame,
    model: ModelParams,
    training: TrainingParams,
    images: ImageParams,
    pixel_cache: PixelCache,
    stop: StopRequest,
) -> tuple[np.ndarray, pd.DataFrame]:
    """Compute the features of a frozen network for each image, and measure brightness and sharpness."""
    devices.prepare_device(training.precision, training.xla, training.seed)
    network = network_factory.build_feature_network(model)
    side = network.input.shape[1]
    pixels = pixel_cache(pixel_source(reviewed, open_root(images.root), images.transform(side), images.cache_gb))
    rows = pixels.rows(reviewed["image_id"])
    check = partial(stop.check, "before the labels were ranked")
    features = batches.predict(linear_head.pooled_outputs(network), pixels.array, rows, check_stop=check)
    sizes = reviewed[["width", "height"]].to_numpy()
    measures = issues.measure_pixels((pixels.array[row] for row in rows), sizes, padded=images.resize == "pad")
    return features, measures


def review_labels(
    reviewed: pd.DataFrame, features: np.ndarray, measures: pd.DataFrame, review: ReviewParams
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, float]]:
    """Rank the labels.

    Returns:
        One row per image, most suspicious first; the estimated share of wrong labels by class; metrics.
    """
    names = class_names(reviewed)
    y = reviewed["label"].map(names.index).to_numpy("int64")
    groups = pd.factorize(reviewed["group"])[0].astype("int64")
    strength: list[float] = []

    def predict(labels: np.ndarray) -> np.ndarray:
        tried = {"strengths": strength} if strength else {}
        held_out = linear_head.predict_out_of_fold(
            features, labels, groups, len(names), review.seed, review.folds, **tried
        )
        strength[:] = [held_out.strength]
        return held_out.probabilities

    neighbours = ranking.find_neighbours(features, groups, review.neighbours)
    ranked = ranking.rank_labels(y, groups, names, predict, neighbours, review.planted, review.seed)
    nearest = [ranking.find_examples(features, groups, y, wanted) for wanted in (y, ranked.suspicion.second)]
    found = issues.find_issues(reviewed, measures, neighbours.mean_similarity, review.limits.model_dump())
    table = ranking.review_table(reviewed, names, ranked, nearest, found, review.least_probability)
    total = ranked.shares.iloc[0]
    table.attrs = {**reviewed.attrs, "wrong_share": total[["share", "low", "high"]].astype(float).tolist()}
    logger.info(
        "Estimated share of wrong labels: %.1f %% (95 %% interval %.1f to %.1f %%) of %s; suggestions: %d",
        *(100 * total[["share", "low", "high"]]),
        counted(len(table), "image"),
        (table["issue"] == issues.LABEL).sum(),
    )
    metrics = {"review_wrong_share": float(total["share"]), "review_images": float(len(table))}
    metrics |= {f"review_wrong_share_{bound}": float(total[bound]) for bound in ("low", "high") if total.notna()[bound]}
    metrics |= {f"review_{name}_images": float((table["issue"] == name).sum()) for name in issues.ISSUES}
    return table, ranked.shares.iloc[1:], metrics


def draw_review(label_review: pd.DataFrame, images: ImageParams) -> tuple[figures.Figure, figures.Figure]:
    """Draw the most suspicious images, and a matrix of given and suggested labels."""
    shown, suggestions = label_review.head(SHEET_IMAGES), (label_review["issue"] == issues.LABEL).sum()
    distinct = pixel_source(shown, open_root(images.root), images.transform(THUMBNAIL)).streamed()
    captions = [
        f"{label if suggested == label else f'{label} → {suggested}'}\n{probability:.0%}"
        for label, suggested, probability in shown[["label", "suggested", "probability"]].itertuples(index=False)
    ]
    title = f"The {len(shown)} most suspicious labels; probably wrong: {suggestions} of {len(label_review)}"
    sheet = figures.contact_sheet(distinct.array[distinct.rows(shown["image_id"])], captions, columns=10, title=title)
    names = class_names(label_review)
    given, suggested = (label_review[name].map(names.index).to_numpy() for name in ("label", "suggested"))
    return sheet, figures.suggestion_matrix_figure(given, suggested, names)
