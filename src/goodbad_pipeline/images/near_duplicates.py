"""Near copies among very many images: alike in outline (hash) and, what decides, in a thumbnail's every colour.

Two 64-bit hashes that differ in at most d bits differ in at most d of b blocks of bits, so they agree wholly in b - d.
Each choice of so many blocks is a key; only images that share one are compared. The number of comparisons grows with
the number of look-alikes, not with the square of the number of images.
"""

from collections.abc import Iterator
from functools import reduce
from itertools import combinations, pairwise
from math import comb, log2

import numpy as np
import pandas as pd
import pyarrow as pa


class Forest:
    """A union of sets over the positions 0 … count - 1 that is fed links block by block.

    However many links a dense heap of copies has, no more than ``count - 1`` are ever kept.

    Attributes:
        component: int32, shape (count,); equal numbers are in one set.

    Args:
        start: Sets to start from, whole numbers of any value, equal where two positions are in one set.
    """

    def __init__(self, start: np.ndarray) -> None:
        self.component = np.unique(start, return_inverse=True)[1].astype(np.int32)
        self._links = [np.empty((0, 2), np.int64)]

    def add(self, pairs: np.ndarray) -> None:
        """Join the two positions of each of ``pairs``, int64 of shape (m, 2)."""
        from scipy.sparse import coo_array  # noqa: PLC0415 - slow to import
        from scipy.sparse.csgraph import connected_components, minimum_spanning_tree  # noqa: PLC0415 - slow to import

        count = len(self.component)
        low, high = np.sort(self.component[pairs].astype(np.int64), axis=1).T
        joining, first = np.unique(low * count + high, return_index=True)
        low, high = np.divmod(joining, count)
        first, low, high = (values[low != high] for values in (first, low, high))
        if not len(first):
            return
        # A link's weight is its number and one more: the tree tells by it which links it is made of, and 0 is no link.
        graph = coo_array((np.arange(1, len(first) + 1), (low, high)), shape=(count, count)).tocsr()
        tree = np.sort(minimum_spanning_tree(graph).data.astype(np.int64) - 1)
        self._links.append(pairs[first[tree]])
        self.component = connected_components(graph, directed=False)[1][self.component]

    @property
    def links(self) -> np.ndarray:
        """Links that hold the sets together, int64 of shape (m, 2), in the order in which they were found."""
        return np.concatenate(self._links)


BITS = 64
CHUNK = 2**16  # pairs whose thumbnails are compared at a time: 100 MB of scratch
HEAP = 2**16  # comparisons of two heaps of images with a hash each from which on a matrix product is faster
TILE = 1024


def near_links(hashes: np.ndarray, thumbnails: np.ndarray, distance: int, least: float) -> np.ndarray:
    """Find enough near copies to join all that belong together.

    Args:
        hashes: uint64, shape (n,).
        thumbnails: uint8, shape (n, k), RGB after RGB.
        distance: Most bits in which the hashes of near copies differ.
        least: Least Pearson correlation of their thumbnails; those of one colour must be equal.

    Returns:
        int64, shape (m, 2), m < n: pairs of positions, the smaller first. Images that a chain of near copies connects
        are connected by these.
    """
    forest = Forest(np.arange(len(hashes)))
    order = np.argsort(hashes, kind="stable")
    values, starts, counts = np.unique(hashes[order], return_index=True, return_counts=True)
    flat = _one_coloured(thumbnails)
    matcher = _Matcher(thumbnails, flat, least, order, starts, counts)
    same = np.flatnonzero(counts > 1)
    matcher.join(forest, np.stack([same, same], axis=1))
    forest.add(_equal_flats(hashes, thumbnails, np.flatnonzero(flat)))
    for pairs in close_pairs(values, distance):
        matcher.join(forest, pairs)
    return np.sort(forest.links, axis=1)


def close_pairs(values: np.ndarray, distance: int) -> Iterator[np.ndarray]:
    """Yield every pair of positions in ``values`` that are at most ``distance`` bits apart, once.

    Args:
        values: uint64, shape (n,), no two equal.
        distance: Bits, 0–16.

    Yields:
        int64 of shape (≤ n, 2).
    """
    if distance < 1 or len(values) < 2:
        return
    blocks = _blocks(_block_count(len(values), distance))
    for agreeing in combinations(range(len(blocks)), len(blocks) - distance):
        # A pair agrees on many choices of blocks. It counts for the first of them alone, where all blocks that were
        # passed over differ.
        passed = [blocks[index] for index in range(agreeing[-1]) if index not in agreeing]
        yield from _pairs_of_key(values, reduce(np.bitwise_or, [blocks[index] for index in agreeing]), passed, distance)


def _block_count(count: int, distance: int) -> int:
    """Number of blocks that makes the least work: few make keys that many share, many make many keys."""

    def work(blocks: int) -> float:
        shared = count / 2 ** (BITS * (blocks - distance) // blocks)
        return comb(blocks, distance) * count * (log2(count) + shared)

    return min(range(distance + 1, distance + 5), key=work)


def _blocks(number: int) -> list[np.uint64]:
    edges = [round(BITS * block / number) for block in range(number + 1)]
    return [np.uint64((1 << high) - (1 << low)) for low, high in pairwise(edges)]


def _pairs_of_key(values: np.ndarray, mask: np.uint64, passed: list[np.uint64], distance: int) -> Iterator[np.ndarray]:
    keys = values & mask
    order = np.argsort(keys)
    keys, ordered = keys[order], values[order]
    step = 1
    first = np.flatnonzero(keys[1:] == keys[:-1])
    while len(first):
        differing = ordered[first] ^ ordered[first + step]
        close = np.bitwise_count(differing) <= distance
        for block in passed:
            close &= (differing & block) != 0
        found = first[close]
        if len(found):
            yield np.stack([order[found], order[found + step]], axis=1)
        step += 1
        first = first[first + step < len(keys)]
        first = first[keys[first] == keys[first + step]]


class _Matcher:
    """Compares the images behind pairs of hash values."""

    def __init__(
        self,
        thumbnails: np.ndarray,
        flat: np.ndarray,
        least: float,
        order: np.ndarray,
        starts: np.ndarray,
        counts: np.ndarray,
    ) -> None:
        self._thumbnails, self._flat, self._least = thumbnails, flat, least
        self._order, self._starts, self._counts = order, starts, counts

    def join(self, forest: Forest, pairs: np.ndarray) -> None:
        """Link near copies among the images of each pair of hash values, positions in the sorted values (m, 2)."""
        products = self._counts[pairs[:, 0]] * self._counts[pairs[:, 1]]
        for one, other in pairs[products > HEAP]:
            first = self._members(one)
            self._join_heaps(forest, first, first if one == other else self._members(other))
        for few in _cut(pairs[products <= HEAP], products[products <= HEAP]):
            candidates = self._expand(few)
            apart = forest.component[candidates[:, 0]] != forest.component[candidates[:, 1]]
            candidates = candidates[apart]
            left, right = (self._units(candidates[:, side]) for side in (0, 1))
            forest.add(candidates[np.einsum("ij,ij->i", left, right) >= self._least])

    def _units(self, places: np.ndarray) -> np.ndarray:
        """Thumbnails whose products are correlations; those of one colour correlate with nothing."""
        units = unit_thumbnails(self._thumbnails[places])
        units[self._flat[places]] = 0
        return units

    def _members(self, value: int) -> np.ndarray:
        return self._order[self._starts[value] : self._starts[value] + self._counts[value]]

    def _expand(self, pairs: np.ndarray) -> np.ndarray:
        """Every image of the one hash value with every image of the other."""
        one, other = pairs.T
        products = self._counts[one] * self._counts[other]
        pair = np.repeat(np.arange(len(pairs)), products)
        place = np.arange(len(pair)) - np.repeat(np.cumsum(products) - products, products)
        row, column = np.divmod(place, self._counts[other][pair])
        return np.stack(
            [self._order[self._starts[one][pair] + row], self._order[self._starts[other][pair] + column]], axis=1
        )

    def _join_heaps(self, forest: Forest, one: np.ndarray, other: np.ndarray) -> None:
        """The same for two large sets of images, or one and itself, by tiles of a matrix product."""
        members = np.concatenate([one, other])
        local = Forest(forest.component[members])
        for top in range(0, len(one), TILE):
            for left in range(top if one is other else 0, len(other), TILE):
                rows = np.arange(top, min(top + TILE, len(one)))
                columns = np.arange(left, min(left + TILE, len(other))) + len(one)
                if len(np.unique(local.component[np.concatenate([rows, columns])])) > 1:
                    local.add(self._alike(members, rows, columns))
        forest.add(members[local.links])

    def _alike(self, members: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        left, right = (self._units(members[part]) for part in (rows, columns))
        row, column = np.nonzero(left @ right.T >= self._least)
        return np.stack([rows[row], columns[column]], axis=1)


def _cut(pairs: np.ndarray, products: np.ndarray) -> Iterator[np.ndarray]:
    """Cut pairs of hash values into blocks that stand for some CHUNK pairs of images each."""
    block = np.cumsum(products) // CHUNK
    edges = np.flatnonzero(np.diff(block, prepend=-1))
    yield from (part for part in np.split(pairs, edges) if len(part))


def thumbnail_levels(thumbnails: pd.Series, rows: np.ndarray) -> np.ndarray:
    """Lay the bytes of some thumbnails, equally many each, into uint8 (m, k), with no copy of the others.

    Args:
        thumbnails: Arrow's binary values, n of them.
        rows: Which of them, int64 of shape (m,).
    """
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
    """Centre and scale uint8 (n, k) to float32 rows of length 1; products are correlations, flat ones become 0."""
    levels = thumbnails.astype(np.float32)
    levels -= levels.mean(axis=1, keepdims=True)
    return levels / np.maximum(np.linalg.norm(levels, axis=1, keepdims=True), 1e-6)


def _one_coloured(thumbnails: np.ndarray) -> np.ndarray:
    """Which thumbnails have one colour all over: bool of shape (n,)."""
    ends = np.flatnonzero((thumbnails[:, :3] == thumbnails[:, -3:]).all(axis=1))  # few of perhaps millions
    flat = np.zeros(len(thumbnails), bool)
    flat[ends] = (thumbnails[ends, 3:] == thumbnails[ends, :-3]).all(axis=1)
    return flat


def _equal_flats(hashes: np.ndarray, thumbnails: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """Link images of one and the same colour all over, of which no correlation can tell; ``flat`` are their places.

    Their levels differ by the colour alone, so that any two reds correlate wholly.
    """
    keys = [hashes[flat], *(thumbnails[flat, channel] for channel in range(3))]
    first = pd.Series(flat).groupby(keys).transform("min").to_numpy()
    return np.stack([first, flat], axis=1)[first != flat]
