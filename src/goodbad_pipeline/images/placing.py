"""Two ways to place whole groups: evenly, each where its classes are missed most, or by name, each for itself."""

import hashlib
from collections.abc import Mapping

import numpy as np
import pandas as pd

ORDERS = 20  # orders that are tried before a split without some class is given up


def place_evenly(groups: pd.Series, labels: pd.Series, shares: Mapping[str, float], seed: int) -> pd.Series:
    """Place each group where its classes are missed most, so that every side has its share of every class.

    Groups come in an order drawn from ``seed``, large ones early, and go where most is missing: those that would fill a
    good part of a held-out side go to the largest, and many small ones fill the others evenly. A side of few groups
    measures these groups, not the model. Where every group is of one class, no side has more of a class than its share
    by more than that class's largest group, or less by more than as many such groups as there are other sides. Groups
    of several classes pull in several directions, and nothing so simple holds. If a side lacks a class, other orders
    are tried, and each side's lack is measured by what it is to have.

    Args:
        groups: Name of each picture's group.
        labels: Its class.
        shares: Of each side; they sum to 1.
        seed: Of the order.

    Returns:
        The side of each picture.
    """
    table = pd.crosstab(groups, labels).sort_index()
    counts = table.to_numpy(float)
    target = np.outer(list(shares.values()), counts.sum(axis=0))
    rng = np.random.default_rng(seed)
    for attempt in range(ORDERS):
        order = np.argsort(-counts.sum(axis=1) * rng.uniform(0.5, 1, len(counts)), kind="stable")
        # By its own target a small side is as hungry as a large one, and goes empty least.
        measure = target if attempt else np.broadcast_to(counts.sum(axis=0), target.shape)
        side, filled = _place_in_order(counts, target, order, measure)
        if filled.all():
            break
    names = np.array(list(shares))[side]
    return groups.map(dict(zip(table.index, names, strict=True)))


def _place_in_order(
    counts: np.ndarray, target: np.ndarray, order: np.ndarray, measure: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    filled = np.zeros_like(target)
    side = np.empty(len(counts), int)
    for group in order:
        # The side that lacks most of the group's classes, by their measure.
        shortage = (target - filled) / np.maximum(measure, 1e-9)
        side[group] = np.argmax(shortage @ (counts[group] / counts[group].sum()))
        filled[side[group]] += counts[group]
    return side, filled


def place_by_name(groups: pd.Series, shares: Mapping[str, float], seed: int) -> pd.Series:
    """Place each group by its name and ``seed`` alone, whatever other groups there are.

    A side's share is right on average only: of n groups of one size, its deviation is √(share · (1 - share) / n).

    Returns:
        The side of each picture.
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
