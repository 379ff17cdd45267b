"""Group exact duplicates and near-duplicates, and quarantine images with conflicting labels.

If train and test contained copies of one image, a model could classify the test image from memory. Copies are therefore
put into one group, which is never divided between splits. An image with two labels is quarantined, because either label
may be wrong. Rows of a manifest that name the same file count as copies.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from goodbad_pipeline.images.near_duplicates import DisjointSets, near_links, thumbnail_levels
from goodbad_pipeline.images.rejections import QUARANTINE_COLUMNS, Reason

# Near-duplicates have similar hashes and thumbnails with at least this correlation. Measured on 3,208 game sprites: for
# 99 of 100 sprites, the correlation is at least 0.998 after JPEG compression at quality 40, 0.997 after brightening by
# 12 %, and 0.996 after resizing to 70 %. Of the pairs of different units with similar hashes, 1 in 1,000 reaches 0.996.
MIN_CORRELATION = 0.996

DUPLICATE_COLUMNS = ["path", "twin", "kind", "label", "twin_label", "group", "twin_group"]


@dataclass(frozen=True)
class Grouping:
    """Images with their final groups.

    All copies of an image have the same ``group`` and the same name in the column ``copies``. A group may contain
    several sets of copies. ``duplicates`` has one row for each image that is a copy of an earlier image. The columns
    ``group`` and ``twin_group`` hold the groups of the two images before merging.
    """

    labels: pd.DataFrame  # the accepted images, without the columns pixel_id, fingerprint and thumbnail
    conflicts: pd.DataFrame  # quarantine rows of images with two labels, in several source splits, or listed twice
    duplicates: pd.DataFrame  # columns DUPLICATE_COLUMNS


def group_duplicates(images: pd.DataFrame, near_distance: int) -> Grouping:
    """Merge the groups of all copies of an image, and quarantine conflicting images.

    Images conflict if they are copies with different labels, or if their group has images in several splits of the
    source (``source_split``). In the second case, only the images of one split are kept: the test images, or the
    validation images if the group has no test images.

    Near-duplicates are images whose 64-bit difference hashes differ in at most ``near_distance`` bits and whose
    thumbnails are nearly equal. A distance of 0 requires equal hashes; -1 disables near-duplicates.
    """
    named = images["group"].notna()
    own = "image " + images["pixel_id"].str[:16]  # the same for exact copies
    images = images.assign(group=images["group"].where(named, own).astype(str))
    exact = _exact_pairs(images)
    copies = DisjointSets(np.arange(len(images)))
    copies.add(exact)
    near = _near_pairs(images, near_distance)
    copies.add(near)
    kinds = np.repeat(["exact", "near"], [len(exact), len(near)])
    pairs = _pair_table(images[["path", "label", "group"]], np.concatenate([exact, near]), kinds)
    duplicates = pairs[pairs["path"] != pairs["twin"]].reset_index(drop=True)
    joined = images.drop(columns=["fingerprint", "thumbnail"]).assign(
        group=_join_groups(images["group"], named, copies), copies=_name_copies(images, copies)
    )
    conflicting = _conflicts(joined)
    columns = ["path", "label", "size", "image_id", "group", "source_split"]
    leaking = _split_leaks(_without(joined[columns], conflicting))
    conflicts = pd.concat([conflicting, leaking])
    conflicts = pd.concat([conflicts, _listed_twice(_without(joined[columns], conflicts))])
    labels = _without(joined.drop(columns="pixel_id"), conflicts)
    return Grouping(labels.reset_index(drop=True), conflicts.reset_index(drop=True), duplicates)


def _without(images: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    return images.drop(rows.index) if len(rows) else images


def _exact_pairs(images: pd.DataFrame) -> np.ndarray:
    """Pair the first image with each later image that has the same pixels; return row positions, int64 (n, 2)."""
    position = np.arange(len(images))
    first = pd.Series(position).groupby(pd.factorize(images["pixel_id"])[0]).transform("min").to_numpy()
    copies = first != position
    return np.stack([first[copies], position[copies]], axis=1)


def _near_pairs(images: pd.DataFrame, near_distance: int) -> np.ndarray:
    """Return enough pairs of near-duplicates to link each set of near-duplicates, as row positions, int64 (n, 2).

    Of several exact copies, only the first image is compared.
    """
    distinct = np.flatnonzero(~images["pixel_id"].duplicated().to_numpy())
    if near_distance < 0 or len(distinct) < 2:
        return np.empty((0, 2), np.int64)
    hashes = images["fingerprint"].to_numpy(np.int64)[distinct].view(np.uint64)
    thumbnails = thumbnail_levels(images["thumbnail"], distinct)
    return distinct[near_links(hashes, thumbnails, near_distance, MIN_CORRELATION)]


def _pair_table(images: pd.DataFrame, pairs: np.ndarray, kinds: np.ndarray) -> pd.DataFrame:
    left, right = (images.iloc[pairs[:, side]].reset_index(drop=True) for side in (0, 1))
    columns = [right["path"], left["path"], kinds, right["label"], left["label"], right["group"], left["group"]]
    return pd.DataFrame(dict(zip(DUPLICATE_COLUMNS, columns, strict=True)))


def _join_groups(groups: pd.Series, named: pd.Series, copies: DisjointSets) -> pd.Series:
    """Return the group of each image after merging groups that contain copies of the same image.

    A merged group keeps the alphabetically first name from the manifest. If no name is from the manifest, the merged
    group keeps the first generated name.
    """
    codes, names = pd.factorize(groups, sort=True)
    merged = DisjointSets(np.arange(len(names)))
    merged.add(codes[copies.links])
    from_manifest = pd.Series(named.to_numpy()).groupby(codes).any().to_numpy()
    rank = np.where(from_manifest, 0, len(names)) + np.arange(len(names))
    leader = pd.Series(rank).groupby(merged.component).transform("min").to_numpy() % len(names)
    return pd.Series(np.asarray(names)[leader[codes]], index=groups.index, dtype=str)


def _name_copies(images: pd.DataFrame, copies: DisjointSets) -> pd.Series:
    """Name each image's set of copies after the first image of the set."""
    first = pd.Series(np.arange(len(images))).groupby(copies.component).transform("min").to_numpy()
    return images["pixel_id"].str[:16].iloc[first].set_axis(images.index)


def _conflicts(images: pd.DataFrame) -> pd.DataFrame:
    """Return the quarantine rows of all images that have more than one label."""
    rows = images[images.groupby("pixel_id")["label"].transform("nunique") > 1]
    one_each = rows.drop_duplicates(["pixel_id", "label"])
    labels = (one_each["path"] + " as '" + one_each["label"] + "'").groupby(one_each["pixel_id"]).agg(" and ".join)
    details = [f"the same image under several labels: {labels[image]}" for image in rows["pixel_id"]]
    return _quarantine_rows(rows, Reason.CONFLICTING_LABEL, details)


def _split_leaks(images: pd.DataFrame) -> pd.DataFrame:
    """Return the quarantine rows of images whose group also has images in a source split of higher priority.

    The order of priority is test, validation, train.
    """
    priority = ["test", "validation", "train"]
    rank = images["source_split"].map({split: number for number, split in enumerate(priority)})
    best = rank.groupby(images["group"]).transform("min")
    rows = images[rank > best]
    kept = zip(rows["group"], best[rows.index].astype(int), strict=True)
    details = [f"group '{group}' has images in {priority[number]}, which are kept" for group, number in kept]
    return _quarantine_rows(rows, Reason.SPLIT_LEAK, details)


def _listed_twice(images: pd.DataFrame) -> pd.DataFrame:
    """Return the quarantine rows of images whose path already occurs in an earlier row."""
    rows = images[images["path"].duplicated()]
    detail = "an earlier row of the manifest has the same path; the groups of both rows were merged"
    return _quarantine_rows(rows, Reason.LISTED_TWICE, [detail] * len(rows))


def _quarantine_rows(rows: pd.DataFrame, reason: Reason, details: list[str]) -> pd.DataFrame:
    return rows.assign(reason=str(reason), detail=details)[QUARANTINE_COLUMNS]
