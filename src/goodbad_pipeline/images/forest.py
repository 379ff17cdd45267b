"""Pictures joined into sets by links, of which only those that join something new are kept."""

import numpy as np


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
