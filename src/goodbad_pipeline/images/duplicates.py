"""Which images are copies of one another, exact or near, and what that does to groups and labels.

A copy on the other side of a split lets a model pass the test by memory. So copies join one group, and an image that
stands under two labels is set aside: nobody can say which is right.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from goodbad_pipeline.images.near_duplicates import Forest, near_links, thumbnail_levels
from goodbad_pipeline.images.reasons import QUARANTINE_COLUMNS, Reason

# Least correlation of two thumbnails for look-alike outlines to count as one image. Measured on 3,208 game sprites:
# in 99 of 100, JPEG at quality 40, 12 % more brightness and 70 % of the size keep 0.998, 0.997 and 0.996; of the pairs
# of different units with like outlines, 1 in 1,000 reaches 0.996.
LEAST_CORRELATION = 0.996

DUPLICATE_COLUMNS = ["path", "twin", "kind", "label", "twin_label", "group", "twin_group"]


@dataclass(frozen=True)
class Grouping:
    """Images with their final groups.

    Attributes:
        labels: The accepted images; ``group`` never splits copies, ``copies`` names the set of copies that an image
            belongs to whatever its group. pixel_id, fingerprint and thumbnail are gone.
        conflicts: Quarantine rows of images under two labels, and of those that leak across a given split.
        duplicates: One row per image that is a copy of an earlier one: path, twin, kind (exact | near), their labels
            and the groups they had before. A set of n copies has n - 1 rows.
    """

    labels: pd.DataFrame
    conflicts: pd.DataFrame
    duplicates: pd.DataFrame


def group_duplicates(images: pd.DataFrame, near_distance: int) -> Grouping:
    """Join copies into groups and set contradictions aside.

    Args:
        images: Accepted images of a scan.
        near_distance: Near copies differ in at most this many of the 64 bits of the difference hash (and hardly in
            colour); 0 joins only those with the same hash, -1 switches near copies off.
    """
    named = images["group"].notna()
    images = images.assign(group=_own_groups(images))
    exact = _exact_pairs(images)
    copies = Forest(np.arange(len(images)))
    copies.add(exact)
    near = _near_pairs(images, near_distance)
    copies.add(near)
    kinds = np.repeat(["exact", "near"], [len(exact), len(near)])
    duplicates = _pair_table(images[["path", "label", "group"]], np.concatenate([exact, near]), kinds)
    joined = images.drop(columns=["fingerprint", "thumbnail"]).assign(
        group=_join_groups(images["group"], named, copies), copies=_name_copies(images, copies)
    )
    conflicting = _conflicts(joined)
    asked = ["path", "label", "size", "image_id", "group", "source_split"]
    leaking = _split_leaks(_without(joined[asked], conflicting))
    conflicts = pd.concat([conflicting, leaking])
    labels = _without(joined.drop(columns="pixel_id"), conflicts)
    return Grouping(labels.reset_index(drop=True), conflicts.reset_index(drop=True), duplicates)


def _without(images: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The images that are not in ``rows``; where there are none, no copy of a million others is made."""
    return images.drop(rows.index) if len(rows) else images


def _own_groups(images: pd.DataFrame) -> pd.Series:
    """Give each image without a group one of its own, named after its pixels: exact copies have the same."""
    alone = "image " + images["pixel_id"].str[:16]
    return images["group"].where(images["group"].notna(), alone).astype(str)


def _exact_pairs(images: pd.DataFrame) -> np.ndarray:
    """Pair each image with the first that has the same decoded pixels: int64 (n, 2), row positions."""
    position = np.arange(len(images))
    leader = pd.Series(position).groupby(pd.factorize(images["pixel_id"])[0]).transform("min").to_numpy()
    copies = leader != position
    return np.stack([leader[copies], position[copies]], axis=1)


def _near_pairs(images: pd.DataFrame, near_distance: int) -> np.ndarray:
    """Pair look-alikes, exact copies left out: int64 (n, 2), row positions; enough pairs to join every set."""
    distinct = np.flatnonzero(~images["pixel_id"].duplicated().to_numpy())
    if near_distance < 0 or len(distinct) < 2:
        return np.empty((0, 2), np.int64)
    hashes = images["fingerprint"].to_numpy(np.int64)[distinct].view(np.uint64)
    thumbnails = thumbnail_levels(images["thumbnail"], distinct)
    return distinct[near_links(hashes, thumbnails, near_distance, LEAST_CORRELATION)]


def _pair_table(images: pd.DataFrame, pairs: np.ndarray, kinds: np.ndarray) -> pd.DataFrame:
    left, right = (images.iloc[pairs[:, side]].reset_index(drop=True) for side in (0, 1))
    columns = [right["path"], left["path"], kinds, right["label"], left["label"], right["group"], left["group"]]
    return pd.DataFrame(dict(zip(DUPLICATE_COLUMNS, columns, strict=True)))


def _join_groups(groups: pd.Series, named: pd.Series, copies: Forest) -> pd.Series:
    """Merge the groups that copies link.

    A merged group bears the first name in alphabetical order, a name from the manifest before one of our own: so a copy
    that comes without a group changes no group's name.
    """
    codes, names = pd.factorize(groups, sort=True)
    merged = Forest(np.arange(len(names)))
    merged.add(codes[copies.links])
    given = pd.Series(named.to_numpy()).groupby(codes).any().to_numpy()
    rank = np.where(given, 0, len(names)) + np.arange(len(names))
    leader = pd.Series(rank).groupby(merged.component).transform("min").to_numpy() % len(names)
    return pd.Series(np.asarray(names)[leader[codes]], index=groups.index, dtype=str)


def _name_copies(images: pd.DataFrame, copies: Forest) -> pd.Series:
    """Name each set of copies after its first image."""
    first = pd.Series(np.arange(len(images))).groupby(copies.component).transform("min").to_numpy()
    return images["pixel_id"].str[:16].iloc[first].set_axis(images.index)


def _conflicts(images: pd.DataFrame) -> pd.DataFrame:
    """Quarantine rows of every image that stands under more than one label."""
    rows = images[images.groupby("pixel_id")["label"].transform("nunique") > 1]
    one_each = rows.drop_duplicates(["pixel_id", "label"])
    claims = (one_each["path"] + " as '" + one_each["label"] + "'").groupby(one_each["pixel_id"]).agg(" and ".join)
    details = [f"the same image under several labels: {claims[image]}" for image in rows["pixel_id"]]
    return _set_aside(rows, Reason.CONFLICTING_LABEL, details)


def _split_leaks(images: pd.DataFrame) -> pd.DataFrame:
    """Quarantine rows of images whose group lies in a given split that counts for more (test, validation, train)."""
    rank = images["source_split"].map({"test": 0, "validation": 1, "train": 2})
    best = rank.groupby(images["group"]).transform("min")
    rows = images[rank > best]
    details = [f"group '{group}' also lies in a given split that counts for more" for group in rows["group"]]
    return _set_aside(rows, Reason.SPLIT_LEAK, details)


def _set_aside(rows: pd.DataFrame, reason: Reason, details: list[str]) -> pd.DataFrame:
    return rows.assign(reason=str(reason), detail=details)[QUARANTINE_COLUMNS]
