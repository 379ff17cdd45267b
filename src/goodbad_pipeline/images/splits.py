"""Train, validation and test: stratified by label, no group on two sides, the same for the same seed."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from goodbad_pipeline.errors import InputError

SPLITS = ("train", "validation", "test")


def split_labels(labels: pd.DataFrame, fractions: Mapping[str, float], seed: int) -> pd.DataFrame:
    """Assign every picture to train, validation or test.

    A split given by the data's owner (column ``source_split``) is honoured; splits it lacks are taken from its train
    part. Groups are placed whole, each where its classes are missed most, in an order drawn from ``seed`` in which
    large groups tend to come early, so that small ones even out the shares.

    Args:
        labels: Accepted pictures with columns label, group and source_split.
        fractions: Share of the pictures of each of ``train``, ``validation`` and ``test``; they sum to 1.
        seed: Seed of the order in which groups are placed.

    Returns:
        ``labels`` with a column ``split``.

    Raises:
        InputError: There are fewer than two classes, or a class has fewer groups than there are splits to fill.
    """
    _require_two_classes(labels)
    given = labels["source_split"]
    wanted = _wanted_shares(fractions, set(given.dropna()))
    pool = labels[given.isna() | (given == "train")] if wanted else labels.iloc[:0]
    _require_enough_groups(labels, pool, wanted)
    split = given.astype(object)
    split.loc[pool.index] = _assign_groups(pool, wanted, seed)
    _require_all_filled(labels, split)
    return labels.assign(split=split.astype(str))


def count_splits(splits: pd.DataFrame) -> pd.DataFrame:
    """Count pictures and groups: one row a split and class, with label, images, groups and share (of the split)."""
    counts = splits.groupby(["split", "label"]).agg(images=("path", "size"), groups=("group", "nunique"))
    every = pd.MultiIndex.from_product([SPLITS, class_names(splits)], names=["split", "label"])
    counts = counts.reindex(every, fill_value=0).reset_index()
    total = counts.groupby("split")["images"].transform("sum")
    return counts.assign(share=(counts["images"] / total.clip(lower=1)).round(4))


def development_part(splits: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of train and validation, which networks are compared on; test is left out."""
    return splits[splits["split"].isin(["train", "validation"])]


def class_names(table: pd.DataFrame) -> list[str]:
    """Return the class names in the order of the model's outputs: sorted."""
    return sorted(table["label"].unique())


def _wanted_shares(fractions: Mapping[str, float], given: set[str]) -> dict[str, float]:
    """Share of the pool for each split to fill: all three, or what the owner's split lacks, taken from its train."""
    names = [split for split in SPLITS if split not in given]
    if not names:
        return {}
    names = [split for split in SPLITS if split == "train" or split in names]
    total = sum(fractions[name] for name in names)
    return {name: fractions[name] / total for name in names}


def _assign_groups(pool: pd.DataFrame, wanted: Mapping[str, float], seed: int) -> pd.Series:
    """Place whole groups greedily: each where most of its pictures' classes are still short of their share."""
    if pool.empty:
        return pd.Series(dtype=object)
    table = pd.crosstab(pool["group"], pool["label"]).sort_index()
    counts = table.to_numpy(float)
    totals = counts.sum(axis=0)
    target = np.outer(list(wanted.values()), totals)
    filled = np.zeros_like(target)
    jitter = np.random.default_rng(seed).uniform(size=len(counts))
    order = np.argsort(-counts.sum(axis=1) * jitter, kind="stable")
    side = np.empty(len(counts), int)
    for group in order:
        side[group] = _neediest(counts[group], target, filled)
        filled[side[group]] += counts[group]
    names = np.array(list(wanted))[side]
    return pool["group"].map(dict(zip(table.index, names, strict=True)))


def _neediest(group: np.ndarray, target: np.ndarray, filled: np.ndarray) -> int:
    """Index of the split whose relative shortage, weighted by the group's classes, is greatest."""
    shortage = (target - filled) / np.maximum(target, 1e-9)
    return int(np.argmax(shortage @ (group / group.sum())))


def _require_two_classes(labels: pd.DataFrame) -> None:
    names = class_names(labels) if len(labels) else []
    if len(names) < 2:
        found = f"only '{names[0]}'" if names else "none"
        raise InputError(f"labels: at least two classes are needed, found {found} among {len(labels)} accepted images")


def _require_enough_groups(labels: pd.DataFrame, pool: pd.DataFrame, wanted: Mapping[str, float]) -> None:
    groups = pool.groupby("label")["group"].nunique().reindex(class_names(labels), fill_value=0)
    scarce = groups[groups < len(wanted)]
    if len(scarce):
        raise InputError(
            f"splits: every class needs at least {len(wanted)} groups to fill {', '.join(wanted)}; "
            f"class '{scarce.index[0]}' has {scarce.iloc[0]}"
        )


def _require_all_filled(labels: pd.DataFrame, split: pd.Series) -> None:
    counts = pd.crosstab(labels["label"], split).reindex(columns=SPLITS, fill_value=0)
    for label, row in counts.iterrows():
        for name in SPLITS:
            if row[name] == 0:
                raise InputError(f"splits: every split needs every class; '{name}' has no image of class '{label}'")
