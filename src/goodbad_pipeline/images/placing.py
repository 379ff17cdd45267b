"""Two ways to place whole groups: evenly, each where its classes are missed most, or by name, each for itself."""

import hashlib
from collections.abc import Mapping

import numpy as np
import pandas as pd

ORDERS = 20  # orders that are tried before a split without some class is given up


def place_evenly(groups: pd.Series, labels: pd.Series, shares: Mapping[str, float], seed: int) -> pd.Series:
    """Place each group where its classes are missed most, so that every side has its share of every class.

    Groups come in an order drawn from ``seed`` in which large ones tend to be early: small ones then even out the
    shares. Where every group is of one class, no side has more of a class than its share by more than that class's
    largest group, or less by more than as many such groups as there are other sides. Groups of several classes pull in
    several directions, and nothing so simple holds; if a side then lacks a class, other orders are tried.

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
    for _ in range(ORDERS):
        order = np.argsort(-counts.sum(axis=1) * rng.uniform(size=len(counts)), kind="stable")
        side, filled = _place_in_order(counts, target, order)
        if filled.all():
            break
    names = np.array(list(shares))[side]
    return groups.map(dict(zip(table.index, names, strict=True)))


def _place_in_order(counts: np.ndarray, target: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    filled = np.zeros_like(target)
    side = np.empty(len(counts), int)
    for group in order:
        # The side whose relative shortage, weighted by the group's classes, is greatest.
        shortage = (target - filled) / np.maximum(target, 1e-9)
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
