"""Train, validation and test: no group on two sides, the same for the same seed, every class in every split."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from goodbad_pipeline.errors import InputError

SPLITS = ("train", "validation", "test")

SplitMethod = Literal["stratified", "stable"]


@dataclass(frozen=True)
class Division:
    """How images are divided.

    Attributes:
        fractions: Share of the images of each of ``train``, ``validation`` and ``test``; they sum to 1.
        seed: Another seed, another split.
        method: ``stratified`` gives every split its share of every class, as far as whole groups allow; ``stable`` lets
            a group's name and the seed decide alone, so that images that come or go move no other.
        folds: Divide into so many equal parts instead of by ``fractions``; None for no folds, else at least 3.
        fold: The part that is the test, 0 … folds - 1; the next is validation, the others are train.
    """

    fractions: Mapping[str, float]
    seed: int
    method: SplitMethod = "stratified"
    folds: int | None = None
    fold: int = 0

    @property
    def shares(self) -> dict[str, float]:
        """What each split is to have of all images, and of every class."""
        if self.folds is None:
            return {name: self.fractions[name] for name in SPLITS}
        return {"train": (self.folds - 2) / self.folds, "validation": 1 / self.folds, "test": 1 / self.folds}


def split_labels(labels: pd.DataFrame, division: Division) -> pd.DataFrame:
    """Assign every image to train, validation or test, whole groups at a time.

    A split given by the data's owner (column ``source_split``) is honoured; splits it lacks are taken from its train
    part.

    Args:
        labels: Accepted images with columns label, group and source_split.
        division: How.

    Returns:
        ``labels`` with a column ``split``.

    Raises:
        InputError: There are fewer than two classes, a class has fewer groups than there are splits to fill, a split is
            left without a class, or folds are asked of images that have a split already.
    """
    _require_two_classes(labels)
    given = labels["source_split"]
    _require_no_given_folds(given, division)
    parts = _parts(division, set(given.dropna()))
    pool = labels[given.isna() | (given == "train")] if parts else labels.iloc[:0]
    _require_enough_groups(labels, pool, parts)
    split = given.astype(object)
    if len(pool):
        placed = (
            place_by_name(pool["group"], parts, division.seed)
            if division.method == "stable"
            else place_evenly(pool["group"], pool["label"], parts, division.seed)
        )
        split.loc[pool.index] = _name_folds(placed, division)
    _require_all_filled(labels, split, division)
    return labels.assign(split=split.astype(str))


def count_splits(splits: pd.DataFrame) -> pd.DataFrame:
    """Count images and groups, one row a split and class.

    Returns:
        Columns split, label, images, groups, share (of the split's images that are of this class) and class_share (of
        the class's images that are in this split).
    """
    counts = splits.groupby(["split", "label"]).agg(images=("path", "size"), groups=("group", "nunique"))
    every = pd.MultiIndex.from_product([SPLITS, class_names(splits)], names=["split", "label"])
    counts = counts.reindex(every, fill_value=0).reset_index()
    of_split, of_class = (counts.groupby(name)["images"].transform("sum").clip(lower=1) for name in ("split", "label"))
    return counts.assign(
        share=(counts["images"] / of_split).round(4), class_share=(counts["images"] / of_class).round(4)
    )


def development_part(splits: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of train and validation, which networks are compared on; test is left out."""
    return splits[splits["split"].isin(["train", "validation"])]


def class_names(table: pd.DataFrame) -> list[str]:
    """Return the class names in the order of the model's outputs: sorted."""
    return sorted(table["label"].unique())


def _parts(division: Division, given: set[str]) -> dict[str, float]:
    """Share of the pool for each part to fill: folds; all splits; or what the owner's lacks, taken from its train."""
    if division.folds is not None:
        return {f"fold {number}": 1 / division.folds for number in range(division.folds)}
    names = [split for split in SPLITS if split not in given]
    if not names:
        return {}
    names = [split for split in SPLITS if split == "train" or split in names]
    total = sum(division.fractions[name] for name in names)
    return {name: division.fractions[name] / total for name in names}


def _name_folds(placed: pd.Series, division: Division) -> pd.Series:
    if division.folds is None:
        return placed
    names = {f"fold {division.fold}": "test", f"fold {(division.fold + 1) % division.folds}": "validation"}
    return placed.map(names).fillna("train")


def _require_no_given_folds(given: pd.Series, division: Division) -> None:
    if division.folds is not None and given.notna().any():
        raise InputError(
            f"splits.folds: {division.folds} folds are asked for, but the images have a split of their own; set "
            "splits.folds=null to keep it, or images.columns.split=null (a manifest) to ignore it"
        )


def _require_two_classes(labels: pd.DataFrame) -> None:
    names = class_names(labels) if len(labels) else []
    if len(names) < 2:
        found = f"only '{names[0]}'" if names else "none"
        raise InputError(f"labels: at least two classes are needed, found {found} among {len(labels)} accepted images")


def _require_enough_groups(labels: pd.DataFrame, pool: pd.DataFrame, parts: Mapping[str, float]) -> None:
    groups = pool.groupby("label")["group"].nunique().reindex(class_names(labels), fill_value=0)
    scarce = groups[groups < len(parts)]
    if len(scarce):
        raise InputError(
            f"splits: every class needs at least {len(parts)} groups to fill {', '.join(parts)}; "
            f"class '{scarce.index[0]}' has {scarce.iloc[0]}"
        )


def _require_all_filled(labels: pd.DataFrame, split: pd.Series, division: Division) -> None:
    counts = pd.crosstab(labels["label"], split).reindex(columns=SPLITS, fill_value=0)
    for label, row in counts.iterrows():
        for name in SPLITS:
            if row[name] == 0:
                groups = labels.loc[labels["label"] == label, "group"].nunique()
                other = " or splits.method=stratified" if division.method == "stable" else ""
                raise InputError(
                    f"splits: every split needs every class; '{name}' has no image of class '{label}', which has "
                    f"{groups} groups: more of them are needed, another splits.seed{other}"
                )


ORDERS = 20  # orders that are tried before a split without some class is given up


def place_evenly(groups: pd.Series, labels: pd.Series, shares: Mapping[str, float], seed: int) -> pd.Series:
    """Place each group where its classes are missed most, so that every side has its share of every class.

    Groups come in an order drawn from ``seed`` in which large ones tend to be early: small ones then even out the
    shares. Where every group is of one class, no side has more of a class than its share by more than that class's
    largest group, or less by more than as many such groups as there are other sides. Groups of several classes pull in
    several directions, and nothing so simple holds; if a side then lacks a class, other orders are tried.

    Args:
        groups: Name of each image's group.
        labels: Its class.
        shares: Of each side; they sum to 1.
        seed: Of the order.

    Returns:
        The side of each image.
    """
    table = pd.crosstab(groups, labels).sort_index()
    counts = table.to_numpy(float)
    target = np.outer(list(shares.values()), counts.sum(axis=0))
    rng = np.random.default_rng(seed)
    for _ in range(ORDERS):
        order = np.argsort(-counts.sum(axis=1) * rng.uniform(size=len(counts)), kind="stable")
        side, filled = _place_in_order(counts, target, order)
        if filled.all():
            break
    names = np.array(list(shares))[side]
    return groups.map(dict(zip(table.index, names, strict=True)))


def _place_in_order(counts: np.ndarray, target: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    filled = np.zeros_like(target)
    side = np.empty(len(counts), int)
    for group in order:
        # The side whose relative shortage, weighted by the group's classes, is greatest.
        shortage = (target - filled) / np.maximum(target, 1e-9)
        side[group] = np.argmax(shortage @ (counts[group] / counts[group].sum()))
        filled[side[group]] += counts[group]
    return side, filled


def place_by_name(groups: pd.Series, shares: Mapping[str, float], seed: int) -> pd.Series:
    """Place each group by its name and ``seed`` alone, whatever other groups there are.

    A side's share is right on average only: of n groups of one size, its deviation is √(share · (1 - share) / n).

    Returns:
        The side of each image.
    """
    edges = np.cumsum(list(shares.values()))[:-1]
    names = groups.unique()
    points = np.array([_point(name, seed) for name in names])
    sides = np.array(list(shares))[np.searchsorted(edges, points, side="right")]
    return groups.map(dict(zip(names, sides, strict=True)))


def _point(name: str, seed: int) -> float:
    """A number from 0 to below 1 that is as good as drawn at random, but always the same for a name and seed."""
    digest = hashlib.sha256(f"{seed}\n{name}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
