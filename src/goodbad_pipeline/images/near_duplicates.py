"""Find near-duplicates among millions of images by similar difference hashes and strongly correlated thumbnails.

The 64 bits of a hash are cut into b blocks. If two hashes differ in at most d bits, at least b - d blocks are equal.
Each choice of b - d blocks is a key, and only images with an equal key are compared. The number of comparisons
thus grows with the number of similar images, not with the square of the number of images.
"""

from collections.abc import Iterator
from functools import reduce
from itertools import combinations, pairwise
from math import comb, log2

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy

BITS = 64
CHUNK = 2**16  # pairs whose thumbnails are compared at a time: 100 MB of memory
LARGE = 2**16  # if a pair of hashes has more image pairs than this, a matrix product is faster
TILE = 1024  # rows and columns of one matrix product


class DisjointSets:
    """Disjoint sets of the positions 0 … n - 1. One call of `add` merges sets for many pairs of positions.

    Positions with equal numbers in ``start`` are in the same set before merging. ``component`` (int32, shape (n,)) has
    the number of each position's current set. SciPy's ``DisjointSet`` merges one pair per Python call, which is too
    slow for a million images (docs/decisions/disjoint-sets.md).
    """

    def __init__(self, start: np.ndarray) -> None:
        self.component = np.unique(start, return_inverse=True)[1].astype(np.int32)
        self._links = [np.empty((0, 2), np.int64)]

    def add(self, pairs: np.ndarray) -> None:
        """Merge the sets that contain the two positions of each pair; ``pairs`` is int64 of shape (m, 2)."""
        count = len(self.component)
        low, high = np.sort(self.component[pairs].astype(np.int64), axis=1).T
        joining, first = np.unique(low * count + high, return_index=True)
        low, high = np.divmod(joining, count)
        first, low, high = (values[low != high] for values in (first, low, high))
        if not len(first):
            return
        # A link's weight is its index plus 1, to identify the link in the tree. A weight of 0 would mean no link.
        weights = np.arange(1, len(first) + 1)
        graph = scipy.sparse.coo_array((weights, (low, high)), shape=(count, count)).tocsr()
        tree = scipy.sparse.csgraph.minimum_spanning_tree(graph).data.astype(np.int64) - 1
        self._links.append(pairs[first[np.sort(tree)]])
        self.component = scipy.sparse.csgraph.connected_components(graph, directed=False)[1][self.component]

    @property
    def links(self) -> np.ndarray:
        """The pairs given to `add` that connected two sets, in the order of addition: int64 of shape (m, 2), m < n."""
        return np.concatenate(self._links)


def near_links(hashes: np.ndarray, thumbnails: np.ndarray, distance: int, min_correlation: float) -> np.ndarray:
    """Return enough pairs of near-duplicates to get the same connected components as from all pairs.

    The hashes of near-duplicates (uint64, shape (n,)) differ in at most ``distance`` bits. Their thumbnails (uint8,
    shape (n, k), interleaved RGB) have a Pearson correlation of at least ``min_correlation``. Two single-coloured
    images are near-duplicates only if their colours are equal, because correlation ignores brightness.
    The result is int64 of shape (m, 2), m < n: two positions per pair, the smaller position first.
    """
    sets = DisjointSets(np.arange(len(hashes)))
    plain = _single_coloured(thumbnails)
    matcher = _Matcher(hashes, thumbnails, plain, min_correlation)
    repeated = np.flatnonzero(matcher.counts > 1)
    matcher.join(sets, np.stack([repeated, repeated], axis=1))
    sets.add(_equal_plain(hashes, thumbnails, np.flatnonzero(plain)))
    for pairs in close_pairs(matcher.hashes, distance):
        matcher.join(sets, pairs)
    return np.sort(sets.links, axis=1)


def close_pairs(values: np.ndarray, distance: int) -> Iterator[np.ndarray]:
    """Yield every pair of positions whose values differ in at most ``distance`` (0–16) bits, each pair once.

    The ``values``, uint64 of shape (n,), must be distinct. Each yielded array is int64 of shape (m, 2) with m ≤ n.
    """
    if distance < 1 or len(values) < 2:
        return
    number = _block_count(len(values), distance)
    edges = [round(BITS * block / number) for block in range(number + 1)]
    blocks = [np.uint64((1 << high) - (1 << low)) for low, high in pairwise(edges)]
    for agreeing in combinations(range(len(blocks)), len(blocks) - distance):
        # A pair that agrees on several choices of blocks is yielded for the first choice: all skipped blocks differ.
        skipped = [blocks[index] for index in range(agreeing[-1]) if index not in agreeing]
        mask = reduce(np.bitwise_or, [blocks[index] for index in agreeing])
        yield from _pairs_of_key(values, mask, skipped, distance)


def _block_count(count: int, distance: int) -> int:
    """Return the number of blocks that minimises work: few blocks make large buckets, many blocks make many keys."""

    def work(blocks: int) -> float:
        bucket = count / 2 ** (BITS * (blocks - distance) // blocks)
        return comb(blocks, distance) * count * (log2(count) + bucket)

    return min(range(distance + 1, distance + 5), key=work)


def _pairs_of_key(values: np.ndarray, mask: np.uint64, skipped: list[np.uint64], distance: int) -> Iterator[np.ndarray]:
    keys = values & mask
    order = np.argsort(keys)
    keys, ordered = keys[order], values[order]
    step = 1
    first = np.flatnonzero(keys[1:] == keys[:-1])
    while len(first):
        differing = ordered[first] ^ ordered[first + step]
        close = np.bitwise_count(differing) <= distance
        for block in skipped:
            close &= (differing & block) != 0
        pairs = first[close]
        if len(pairs):
            yield np.stack([order[pairs], order[pairs + step]], axis=1)
        step += 1
        first = first[first + step < len(keys)]
        first = first[keys[first] == keys[first + step]]


class _Matcher:
    """Compares thumbnails. ``hashes`` are distinct and ascending; ``counts[i]`` images have the hash ``hashes[i]``."""

    def __init__(self, hashes: np.ndarray, thumbnails: np.ndarray, plain: np.ndarray, min_correlation: float) -> None:
        self._thumbnails, self._plain, self._min_correlation = thumbnails, plain, min_correlation
        self._order = np.argsort(hashes, kind="stable")
        self.hashes, self._starts, self.counts = np.unique(hashes[self._order], return_index=True, return_counts=True)

    def join(self, sets: DisjointSets, pairs: np.ndarray) -> None:
        """Compare the images of each pair of hashes (indices in ``hashes``), and merge the sets of near-duplicates."""
        products = self.counts[pairs[:, 0]] * self.counts[pairs[:, 1]]
        large = products > LARGE
        for one, other in pairs[large]:
            images = self._images(one)
            self._join_tiles(sets, images, images if one == other else self._images(other))
        for chunk in _chunks(pairs[~large], products[~large]):
            candidates = self._expand(chunk)
            unconnected = sets.component[candidates[:, 0]] != sets.component[candidates[:, 1]]
            candidates = candidates[unconnected]
            left, right = (self._units(candidates[:, side]) for side in (0, 1))
            sets.add(candidates[np.einsum("ij,ij->i", left, right) >= self._min_correlation])

    def _units(self, positions: np.ndarray) -> np.ndarray:
        """Return thumbnails like :func:`unit_thumbnails`, but zeros for each single-coloured thumbnail."""
        units = unit_thumbnails(self._thumbnails[positions])
        units[self._plain[positions]] = 0
        return units

    def _images(self, index: int) -> np.ndarray:
        return self._order[self._starts[index] : self._starts[index] + self.counts[index]]

    def _expand(self, pairs: np.ndarray) -> np.ndarray:
        """Return all pairs of images (positions) whose hashes are one of ``pairs`` (indices in ``hashes``)."""
        one, other = pairs.T
        products = self.counts[one] * self.counts[other]
        pair = np.repeat(np.arange(len(pairs)), products)
        index = np.arange(len(pair)) - np.repeat(np.cumsum(products) - products, products)
        row, column = np.divmod(index, self.counts[other][pair])
        rows, columns = self._starts[one][pair] + row, self._starts[other][pair] + column
        return self._order[np.stack([rows, columns], axis=1)]

    def _join_tiles(self, sets: DisjointSets, one: np.ndarray, other: np.ndarray) -> None:
        """Compare the images ``one`` with ``other`` by matrix products, and merge the sets of near-duplicates."""
        members = np.concatenate([one, other])
        local = DisjointSets(sets.component[members])
        for top in range(0, len(one), TILE):
            for left in range(top if one is other else 0, len(other), TILE):
                rows = np.arange(top, min(top + TILE, len(one)))
                columns = np.arange(left, min(left + TILE, len(other))) + len(one)
                if len(np.unique(local.component[np.concatenate([rows, columns])])) > 1:
                    local.add(self._correlated(members, rows, columns))
        sets.add(members[local.links])

    def _correlated(self, members: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        left, right = (self._units(members[part]) for part in (rows, columns))
        row, column = np.nonzero(left @ right.T >= self._min_correlation)
        return np.stack([rows[row], columns[column]], axis=1)


def _chunks(pairs: np.ndarray, products: np.ndarray) -> Iterator[np.ndarray]:
    """Split ``pairs`` of hashes into chunks that have about ``CHUNK`` pairs of images (sum of ``products``) each."""
    chunk = np.cumsum(products) // CHUNK
    edges = np.flatnonzero(np.diff(chunk, prepend=-1))
    yield from (part for part in np.split(pairs, edges) if len(part))


def thumbnail_levels(thumbnails: pd.Series, rows: np.ndarray) -> np.ndarray:
    """Return the thumbnails (Arrow binary values of equal length) at ``rows`` as one array, uint8 of shape (m, k)."""
    values = pa.array(thumbnails, pa.large_binary())
    chunks = [chunk for chunk in (values.chunks if isinstance(values, pa.ChunkedArray) else [values]) if len(chunk)]
    parts = [_bytes_of(chunk) for chunk in chunks]
    levels = np.empty((len(rows), parts[0].shape[1] if parts else 0), np.uint8)
    start = 0
    for part in parts:
        here = (rows >= start) & (rows < start + len(part))
        levels[here] = part[rows[here] - start]
        start += len(part)
    return levels


def _bytes_of(chunk: pa.Array) -> np.ndarray:
    _, ends, values = chunk.buffers()
    first, last = np.frombuffer(ends, np.int64)[[chunk.offset, chunk.offset + len(chunk)]]
    return np.frombuffer(values, np.uint8)[first:last].reshape(len(chunk), -1)


def unit_thumbnails(thumbnails: np.ndarray) -> np.ndarray:
    """Centre each row of uint8 (n, k), then scale the row to length 1. Dot products are then Pearson correlations.

    Constant rows become zeros.
    """
    levels = thumbnails.astype(np.float32)
    levels -= levels.mean(axis=1, keepdims=True)
    return levels / np.maximum(np.linalg.norm(levels, axis=1, keepdims=True), 1e-6)


def _single_coloured(thumbnails: np.ndarray) -> np.ndarray:
    candidates = np.flatnonzero((thumbnails[:, :3] == thumbnails[:, -3:]).all(axis=1))  # few among millions
    plain = np.zeros(len(thumbnails), bool)
    plain[candidates] = (thumbnails[candidates, 3:] == thumbnails[candidates, :-3]).all(axis=1)
    return plain


def _equal_plain(hashes: np.ndarray, thumbnails: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """Return pairs of single-coloured images (at the positions ``plain``) with equal colours and equal hashes."""
    keys = [hashes[plain], *(thumbnails[plain, channel] for channel in range(3))]
    first = pd.Series(plain).groupby(keys).transform("min").to_numpy()
    return np.stack([first, plain], axis=1)[first != plain]
