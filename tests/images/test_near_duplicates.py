"""Near-duplicates compared with the brute-force result of all pairs."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from goodbad_pipeline.images import near_duplicates
from goodbad_pipeline.images.near_duplicates import (
    DisjointSets,
    close_pairs,
    near_links,
    thumbnail_levels,
    unit_thumbnails,
)

LEAST = 0.99


def crowd(seed: int, count: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes that are often close, because few bits vary, and thumbnails with little variation."""
    rng = np.random.default_rng(seed)
    hashes = np.zeros(count, np.uint64)
    for bit in rng.choice(64, bits, replace=False):
        hashes |= rng.integers(0, 2, count).astype(np.uint64) << np.uint64(bit)
    looks = rng.integers(0, 250, (3, 12))
    thumbnails = looks[rng.integers(0, 3, count)] + rng.integers(0, 6, (count, 12))
    thumbnails[:2] = thumbnails[0, 0]
    reds = np.tile([[200, 30, 30], [90, 10, 10]], (2, 4))  # all over, so that any two of them correlate wholly
    thumbnails[2:6] = reds[: len(thumbnails[2:6])]
    return hashes, thumbnails.astype(np.uint8)


def sets(count: int, pairs: np.ndarray) -> np.ndarray:
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def plain_pairs(hashes: np.ndarray, thumbnails: np.ndarray, distance: int) -> np.ndarray:
    close = np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= distance
    unit = unit_thumbnails(thumbnails)
    flat = (thumbnails == np.tile(thumbnails[:, :3], 4)).all(axis=1)
    unit[flat] = 0
    equal = (thumbnails[:, None] == thumbnails[None, :]).all(axis=2) & (hashes[:, None] == hashes[None, :])
    alike = np.where(flat[:, None] & flat[None, :], equal, unit @ unit.T >= LEAST)
    return np.argwhere(np.triu(close & alike, k=1))


@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 12), st.integers(0, 5))
def test_images_are_joined_as_if_all_pairs_were_compared(seed: int, count: int, bits: int, distance: int) -> None:
    hashes, thumbnails = crowd(seed, count, bits)
    links = near_links(hashes, thumbnails, distance, LEAST)
    expected = sets(count, plain_pairs(hashes, thumbnails, distance))
    np.testing.assert_array_equal(sets(count, links), expected)
    assert len(links) == count - len(np.unique(expected))  # no superfluous link


@pytest.mark.parametrize("distance", [0, 2, 5])
def test_many_images_with_one_hash_are_joined_the_same(distance: int, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes, thumbnails = crowd(7, 300, 3)
    expected = sets(300, plain_pairs(hashes, thumbnails, distance))
    monkeypatch.setattr(near_duplicates, "LARGE", 10)
    monkeypatch.setattr(near_duplicates, "TILE", 16)
    np.testing.assert_array_equal(sets(300, near_links(hashes, thumbnails, distance, LEAST)), expected)


def test_many_images_with_one_hash_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = []
    alike = near_duplicates._Matcher._correlated
    monkeypatch.setattr(near_duplicates, "TILE", 100)
    monkeypatch.setattr(near_duplicates._Matcher, "_correlated", lambda *given: tiles.append(1) or alike(*given))
    thumbnails = np.random.default_rng(0).integers(0, 250, (300, 192), dtype=np.uint8)
    monkeypatch.setattr(near_duplicates, "LARGE", 10)
    assert len(near_links(np.zeros(300, np.uint64), thumbnails, 0, LEAST)) == 0
    assert len(tiles) == 6  # of 3 × 3, those on the diagonal and on one side of it


@given(st.integers(0, 10**6), st.integers(2, 80), st.integers(1, 12), st.integers(1, 8))
def test_each_close_pair_is_yielded_once(seed: int, count: int, bits: int, distance: int) -> None:
    values = np.unique(crowd(seed, count, bits)[0])
    found = [tuple(sorted(pair)) for block in close_pairs(values, distance) for pair in block.tolist()]
    close = np.bitwise_count(values[:, None] ^ values[None, :]) <= distance
    assert sorted(found) == [tuple(pair) for pair in np.argwhere(np.triu(close, k=1)).tolist()]


def test_disjoint_sets_keep_the_first_link_that_joins() -> None:
    forest = DisjointSets(np.arange(5))
    forest.add(np.array([[0, 1], [1, 2], [2, 0], [1, 0]]))
    forest.add(np.array([[2, 1], [4, 3]]))
    assert forest.links.tolist() == [[0, 1], [2, 0], [4, 3]]
    assert len(np.unique(forest.component)) == 2


def planted(count: int, copies: int) -> tuple[np.ndarray, np.ndarray]:
    """Random images, of which the last are copies of the first with three other bits and a little noise."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    thumbnails = rng.integers(0, 250, (count, 192), dtype=np.uint8)
    flips = np.uint64(1) << rng.integers(0, 64, (3, copies)).astype(np.uint64)
    hashes[-copies:] = hashes[:copies] ^ np.bitwise_or.reduce(flips)
    thumbnails[-copies:] = thumbnails[:copies] + rng.integers(0, 4, (copies, 192), dtype=np.uint8)
    return hashes, thumbnails


def test_a_hundred_thousand_images_take_seconds() -> None:
    hashes, thumbnails = planted(100_000, 5_000)
    links = near_links(hashes, thumbnails, 4, LEAST)
    assert links.tolist() == [[index, index + 95_000] for index in links[:, 0]]
    assert sorted(links[:, 0]) == list(range(5_000))


@pytest.mark.slow
def test_a_million_images_take_less_than_ten_minutes_of_one_core() -> None:
    import time

    hashes, thumbnails = planted(1_000_000, 50_000)
    hashes[200_000:210_000] = 0  # ten thousand different images with one outline
    started = time.process_time()
    links = near_links(hashes, thumbnails, 4, LEAST)
    assert time.process_time() - started < 600
    assert len(links) == 50_000


@pytest.mark.parametrize("pieces", [1, 3])
def test_thumbnails_of_a_column_in_one_or_several_chunks(pieces: int) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (30, 12), np.uint8)
    parts = [pa.array([row.tobytes() for row in part], pa.large_binary()) for part in np.array_split(levels, pieces)]
    column = pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array(parts)))
    assert (thumbnail_levels(column, np.arange(30)) == levels).all()
    assert (thumbnail_levels(column.iloc[4:17], np.array([12, 0, 3])) == levels[[16, 4, 7]]).all()
    assert thumbnail_levels(column.iloc[:0], np.arange(0)).shape == (0, 0)
