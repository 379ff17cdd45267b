"""Divide groups of images into train, validation and test, reproducibly, with every class in every split."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from goodbad_pipeline.errors import InputError, counted

SPLITS = ("train", "validation", "test")
ORDERS = 20  # orders of the groups that are tried until every split has every class

SplitMethod = Literal["stratified", "stable"]


@dataclass(frozen=True)
class SplitSettings:
    """Settings of the split.

    ``stratified`` gives every split its fraction of every class, as far as whole groups allow. ``stable`` depends only
    on the seed and the name of a group, so that adding or removing images does not move other images.
    """

    fractions: Mapping[str, float]  # of ``train``, ``validation`` and ``test``; they sum to 1
    seed: int
    method: SplitMethod = "stratified"
    folds: int | None = None  # number of equal folds instead of ``fractions``, at least 3
    fold: int = 0  # the test fold, 0 … folds - 1; the next fold is validation, the others are train

    @property
    def shares(self) -> dict[str, float]:
        """Intended fraction of all images, and of every class, by split."""
        if self.folds is None:
            return {name: self.fractions[name] for name in SPLITS}
        return {"train": (self.folds - 2) / self.folds, "validation": 1 / self.folds, "test": 1 / self.folds}


def split_labels(labels: pd.DataFrame, settings: SplitSettings) -> pd.DataFrame:
    """Return ``labels`` with a column ``split``; a group is never divided.

    Splits given in the column ``source_split`` are kept. If only some splits are given, the missing splits are taken
    from train.

    Raises:
        InputError: There are fewer than two classes, a class has fewer groups than there are splits to fill, a split
            lacks a class, or folds are requested although the source has splits.
    """
    _require_two_classes(labels)
    given = labels["source_split"]
    _require_no_given_folds(given, settings)
    parts = _parts(settings, set(given.dropna()))
    pool = labels[given.isna() | (given == "train")] if parts else labels.iloc[:0]
    _require_same_classes(labels)
    _require_enough_groups(labels, pool, parts)
    split = given.astype(object)
    if len(pool):
        assigned = (
            assign_by_name(pool["group"], parts, settings.seed)
            if settings.method == "stable"
            else assign_stratified(pool["group"], pool["label"], parts, settings.seed)
        )
        if settings.folds is not None:
            names = {f"fold {settings.fold}": "test", f"fold {(settings.fold + 1) % settings.folds}": "validation"}
            assigned = assigned.map(names).fillna("train")
        split.loc[pool.index] = assigned
    _require_all_filled(labels, split, settings)
    return labels.assign(split=split.astype(str))


def count_splits(splits: pd.DataFrame) -> pd.DataFrame:
    """Count images and groups, one row per split and class.

    ``share`` is the fraction of the split's images that have this class. ``class_share`` is the fraction of the class's
    images that are in this split.
    """
    counts = splits.groupby(["split", "label"]).agg(images=("path", "size"), groups=("group", "nunique"))
    every = pd.MultiIndex.from_product([SPLITS, class_names(splits)], names=["split", "label"])
    counts = counts.reindex(every, fill_value=0).reset_index()
    of_split, of_class = (counts.groupby(name)["images"].transform("sum").clip(lower=1) for name in ("split", "label"))
    return counts.assign(
        share=(counts["images"] / of_split).round(4), class_share=(counts["images"] / of_class).round(4)
    )


def development_part(splits: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of train and validation, on which networks are compared."""
    return splits[splits["split"].isin(["train", "validation"])]


def class_names(table: pd.DataFrame) -> list[str]:
    """Return the sorted class names, which is the order of the model's outputs."""
    return sorted(table["label"].unique())


def assign_stratified(groups: pd.Series, labels: pd.Series, shares: Mapping[str, float], seed: int) -> pd.Series:
    """Assign each group to the part (split or fold) that lacks the group's classes most; return parts by image.

    Groups are assigned in a random order in which large groups tend to come first; small groups then even out the
    shares. If a part gets no image of a class, another order is tried, ``ORDERS`` orders at most.

    Let every group have one class, and the largest group of a class have m images. A part exceeds its share of the
    class by at most m images, and falls short of its share by at most m images times the number of other parts.
    """
    table = pd.crosstab(groups, labels).sort_index()
    counts = table.to_numpy(float)
    target = np.outer(list(shares.values()), counts.sum(axis=0))
    rng = np.random.default_rng(seed)
    for _ in range(ORDERS):
        order = np.argsort(-counts.sum(axis=1) * rng.uniform(size=len(counts)), kind="stable")
        parts, filled = _assign_in_order(counts, target, order)
        if filled.all():
            break
    names = np.array(list(shares))[parts]
    return groups.map(dict(zip(table.index, names, strict=True)))


def _assign_in_order(counts: np.ndarray, target: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    filled = np.zeros_like(target)
    parts = np.empty(len(counts), int)
    for group in order:
        # Choose the part with the largest relative shortage, weighted by the classes of the group.
        shortage = (target - filled) / np.maximum(target, 1e-9)
        parts[group] = np.argmax(shortage @ (counts[group] / counts[group].sum()))
        filled[parts[group]] += counts[group]
    return parts, filled


def assign_by_name(groups: pd.Series, shares: Mapping[str, float], seed: int) -> pd.Series:
    """Assign each group to a part by its name and ``seed`` alone; return the part of each image.

    Shares are met only on average: with n groups of equal size, a share has the standard deviation
    √(share · (1 - share) / n).
    """
    edges = np.cumsum(list(shares.values()))[:-1]
    names = groups.unique()
    points = np.array([_point(name, seed) for name in names])
    parts = np.array(list(shares))[np.searchsorted(edges, points, side="right")]
    return groups.map(dict(zip(names, parts, strict=True)))


def _point(name: str, seed: int) -> float:
    """Return a pseudo-random number in [0, 1) that depends only on the name and the seed."""
    digest = hashlib.sha256(f"{seed}\n{name}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _parts(settings: SplitSettings, given: set[str]) -> dict[str, float]:
    """Return the parts to fill and their shares: folds, all splits, or train and the splits that are not given."""
    if settings.folds is not None:
        return {f"fold {number}": 1 / settings.folds for number in range(settings.folds)}
    missing = [split for split in SPLITS if split not in given]
    if not missing:
        return {}
    names = [split for split in SPLITS if split == "train" or split in missing]
    total = sum(settings.fractions[name] for name in names)
    return {name: settings.fractions[name] / total for name in names}


def _require_no_given_folds(given: pd.Series, settings: SplitSettings) -> None:
    if settings.folds is not None and given.notna().any():
        raise InputError(
            f"splits.folds: must be null if the source has splits, got {settings.folds}; set splits.folds=null to keep "
            "these splits, or images.columns.split=null to ignore the splits of a manifest"
        )


def _require_two_classes(labels: pd.DataFrame) -> None:
    names = class_names(labels) if len(labels) else []
    if len(names) < 2:
        received = f"only '{names[0]}'" if names else "none"
        raise InputError(f"labels: at least two classes are needed, got {received} in {len(labels)} accepted images")


def _require_enough_groups(labels: pd.DataFrame, pool: pd.DataFrame, parts: Mapping[str, float]) -> None:
    counts = pool.groupby("label").agg(images=("path", "size"), groups=("group", "nunique"))
    counts = counts.reindex(class_names(labels), fill_value=0)
    scarce = counts[counts["groups"] < len(parts)]
    if scarce.empty:
        return
    numbers = pd.to_numeric(pd.Series(scarce.index), errors="coerce").notna().all()
    if numbers and len(counts) > len(labels) / 2:
        raise InputError(
            f"labels: must be classes of several images, but {len(labels)} images have {len(counts)} different "
            f"numbers, such as '{scarce.index[0]}'. Replace ranges of the numbers by classes, such as low and high"
        )
    shown = [
        f"'{label}' ({counted(images, 'image')} in {counted(count, 'group')})"
        for label, images, count in zip(scarce.index[:4], scarce["images"], scarce["groups"], strict=False)
    ]
    more = f" and {len(scarce) - 4} more" if len(scarce) > 4 else ""
    raise InputError(
        f"splits: every class needs at least {len(parts)} groups to fill {', '.join(parts)}, but these classes have "
        f"fewer: {', '.join(shown)}{more}. {_explain_groups(pool[pool['label'].isin(scarce.index)])}Add images of "
        f"these classes{' in other groups' * bool((scarce['images'] > scarce['groups']).any())}, or remove the classes"
    )


def _explain_groups(images: pd.DataFrame) -> str:
    """Return why images are in one group, or an empty string if every image is its own group."""
    sets, groups = images["copies"].nunique(), images["group"].nunique()
    copied = "Copies and near-duplicates of an image are in its group. " if sets < len(images) else ""
    named = "Images with the same value in the group column are in one group. " if groups < sets else ""
    return f"{copied}{named}A group is never divided. " if copied or named else ""


def _require_same_classes(labels: pd.DataFrame) -> None:
    """Raise an InputError if a source split has other classes than train. Images without a split count as train."""
    split = labels["source_split"].fillna("train")
    trained = set(labels["label"][split == "train"])
    for name, part in labels[split != "train"].groupby("source_split"):
        classes = set(part["label"])
        if trained and classes != trained:
            lacking, extra = (
                ", ".join(f"'{label}'" for label in sorted(names)) or "none"
                for names in (trained - classes, classes - trained)
            )
            raise InputError(
                f"splits: {name} must have the same classes as train; only train has: {lacking}; only {name} has: "
                f"{extra}. Correct the labels, add images, or remove {name} from the source, so that {name} is taken "
                "from train"
            )


def _require_all_filled(labels: pd.DataFrame, split: pd.Series, settings: SplitSettings) -> None:
    counts = pd.crosstab(labels["label"], split).reindex(columns=SPLITS, fill_value=0)
    for label, row in counts.iterrows():
        for name in SPLITS:
            if row[name] == 0:
                groups = labels.loc[labels["label"] == label, "group"].nunique()
                other = " or splits.method=stratified" if settings.method == "stable" else ""
                raise InputError(
                    f"splits: every split needs every class; '{name}' has no image of class '{label}', which has "
                    f"{groups} groups: add groups, or try another splits.seed{other}"
                )
