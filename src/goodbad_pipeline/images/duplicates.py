"""Which pictures are copies of one another, exact or near, and what that does to groups and labels.

A copy on the other side of a split lets a model pass the test by memory. So copies join one group, and a picture that
stands under two labels is set aside: nobody can say which is right.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from goodbad_pipeline.images.reasons import QUARANTINE_COLUMNS, Reason

BITS = 64
# Least correlation of two thumbnails for look-alike outlines to count as one picture. Measured on 3,208 game sprites:
# in 99 of 100, JPEG at quality 40, 12 % more brightness and 70 % of the size keep 0.995, 0.996 and 0.989; of the pairs
# of different units with like outlines, 1 in 900 reaches 0.99.
LEAST_CORRELATION = 0.99

DUPLICATE_COLUMNS = ["path", "twin", "kind", "label", "twin_label", "group", "twin_group"]


@dataclass(frozen=True)
class Grouping:
    """Pictures with their final groups.

    Attributes:
        labels: The accepted pictures; ``group`` never splits copies. pixel_id, fingerprint and thumbnail are gone.
        conflicts: Quarantine rows of pictures under two labels, and of those that leak across a given split.
        duplicates: One row per pair of copies found: path, twin, kind (exact | near), their labels and the groups
            they had before.
    """

    labels: pd.DataFrame
    conflicts: pd.DataFrame
    duplicates: pd.DataFrame


def group_duplicates(images: pd.DataFrame, near_distance: int) -> Grouping:
    """Join copies into groups and set contradictions aside.

    Args:
        images: Accepted pictures of a scan.
        near_distance: Near copies differ in at most this many of the 64 bits of the difference hash (and hardly in
            colour); 0 joins only those with the same hash, -1 switches near copies off.
    """
    images = images.assign(group=_own_groups(images))
    exact = _exact_pairs(images)
    near = _near_pairs(images, near_distance)
    pairs = np.concatenate([exact, near])
    kinds = np.repeat(["exact", "near"], [len(exact), len(near)])
    duplicates = _pair_table(images, pairs, kinds)
    joined = images.assign(group=_join_groups(images["group"], pairs))
    conflicting = _conflicts(joined)
    leaking = _split_leaks(joined.drop(conflicting.index))
    conflicts = pd.concat([conflicting, leaking])
    labels = joined.drop(conflicts.index).drop(columns=["pixel_id", "fingerprint", "thumbnail"])
    return Grouping(labels.reset_index(drop=True), conflicts.reset_index(drop=True), duplicates)


def _own_groups(images: pd.DataFrame) -> pd.Series:
    """Give each picture without a group one of its own, named after its content."""
    alone = "image " + images["image_id"].str[:16]
    return images["group"].where(images["group"].notna(), alone).astype(str)


def _exact_pairs(images: pd.DataFrame) -> np.ndarray:
    """Pair each picture with the first that has the same decoded pixels: int64 (n, 2), row positions."""
    first = images.groupby("pixel_id", sort=False).ngroup().to_numpy()
    position = np.arange(len(images))
    leader = pd.Series(position).groupby(first).transform("min").to_numpy()
    copies = leader != position
    return np.stack([leader[copies], position[copies]], axis=1)


def _near_pairs(images: pd.DataFrame, near_distance: int) -> np.ndarray:
    """Pair look-alikes: int64 (n, 2), row positions, each pair once, exact copies left out.

    Two hashes that differ in at most d bits agree wholly in one of d + 1 bands (pigeonhole), so only pictures that
    share a band are compared.
    """
    distinct = np.flatnonzero(~images["pixel_id"].duplicated().to_numpy())
    if near_distance < 0 or len(distinct) < 2:
        return np.empty((0, 2), np.int64)
    hashes = images["fingerprint"].to_numpy(np.int64)[distinct].view(np.uint64)
    pairs = distinct[_close_hashes(hashes, near_distance)]
    return pairs[_correlate(images["thumbnail"], pairs) >= LEAST_CORRELATION]


def _close_hashes(hashes: np.ndarray, near_distance: int) -> np.ndarray:
    edges = np.linspace(0, BITS, near_distance + 2).astype(np.uint64)
    found = [np.empty((0, 2), np.int64)]
    for low, high in pairwise(edges):
        band = (hashes >> low) & np.uint64((1 << int(high - low)) - 1)
        for members in pd.Series(band).groupby(band).indices.values():
            left, right = np.triu_indices(len(members), k=1)
            pairs = np.stack([members[left], members[right]], axis=1)
            distance = np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]])
            found.append(pairs[distance <= near_distance])
    return np.unique(np.concatenate(found), axis=0)


def _correlate(thumbnails: pd.Series, pairs: np.ndarray) -> np.ndarray:
    """Pearson correlation of each pair of thumbnails, in -1…1; two flat ones are alike only if equal."""
    levels = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(len(thumbnails), -1).astype(np.float32)
    centred = levels - levels.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1)
    unit = centred / np.maximum(norms, 1e-6)[:, None]
    left, right = pairs[:, 0], pairs[:, 1]
    correlation = np.einsum("ij,ij->i", unit[left], unit[right])
    flat = (norms[left] == 0) & (norms[right] == 0)
    return np.where(flat, (levels[left] == levels[right]).all(axis=1), correlation)


def _pair_table(images: pd.DataFrame, pairs: np.ndarray, kinds: np.ndarray) -> pd.DataFrame:
    left, right = (images.iloc[pairs[:, side]].reset_index(drop=True) for side in (0, 1))
    columns = [right["path"], left["path"], kinds, right["label"], left["label"], right["group"], left["group"]]
    return pd.DataFrame(dict(zip(DUPLICATE_COLUMNS, columns, strict=True)))


def _join_groups(groups: pd.Series, pairs: np.ndarray) -> pd.Series:
    """Merge the groups of paired pictures; a merged group bears the first name in alphabetical order."""
    codes, names = pd.factorize(groups, sort=True)
    edges = codes[pairs]
    shape = (len(names), len(names))
    graph = coo_array((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=shape)
    _, component = connected_components(graph, directed=False)
    leader = pd.Series(np.arange(len(names))).groupby(component).transform("min").to_numpy()
    return pd.Series(np.asarray(names)[leader[codes]], index=groups.index, dtype=str)


def _conflicts(images: pd.DataFrame) -> pd.DataFrame:
    """Quarantine rows of every picture that stands under more than one label."""
    rows = images[images.groupby("pixel_id")["label"].transform("nunique") > 1]
    paths = rows.groupby("pixel_id")["path"].agg(lambda names: ", ".join(sorted(names)))
    details = [f"the same picture under several labels: {paths[picture]}" for picture in rows["pixel_id"]]
    return _set_aside(rows, Reason.CONFLICTING_LABEL, details)


def _split_leaks(images: pd.DataFrame) -> pd.DataFrame:
    """Quarantine rows of pictures whose group lies in a given split that counts for more (test, validation, train)."""
    rank = images["source_split"].map({"test": 0, "validation": 1, "train": 2})
    best = rank.groupby(images["group"]).transform("min")
    rows = images[rank > best]
    details = [f"group '{group}' also lies in a given split that counts for more" for group in rows["group"]]
    return _set_aside(rows, Reason.SPLIT_LEAK, details)


def _set_aside(rows: pd.DataFrame, reason: Reason, details: list[str]) -> pd.DataFrame:
    return rows.assign(reason=str(reason), detail=details)[QUARANTINE_COLUMNS]
