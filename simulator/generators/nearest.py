"""The nearest real thing to made-up features, within a group."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from footfall.simulator.generators.categories import CategoryTree

__all__ = ["NearestInCategory"]

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

#: Width of the random feature by which things that are otherwise alike differ.
_TIE: Final = 0.1


class NearestInCategory:
    """Draws one of the nearest real things of a category.

    Parameters
    ----------
    tree:
        The categories.
    nodes:
        Category of each thing, shape ``(things,)``.
    features:
        Where it lies, shape ``(things, features)``.
    weights:
        How often it occurs, shape ``(things,)``.
    nearest:
        One of so many is drawn, in proportion to the weights.
    seed:
        Breaks ties between things that are alike, anew for every draw.
    """

    def __init__(
        self,
        tree: CategoryTree,
        nodes: Integers,
        features: Floats,
        weights: Floats,
        *,
        nearest: int,
        seed: int,
    ) -> None:
        self._weights, self._nearest = weights, nearest
        random = np.random.default_rng(seed)
        features = np.column_stack([features, _TIE * random.random(len(features))])
        self._parent = tree.parent
        self._places: dict[int, Integers] = {}
        self._index: dict[int, cKDTree] = {}
        if not len(nodes):
            # A log without queries has none to draw.
            return
        order = np.argsort(nodes, kind="stable")
        found, first = np.unique(nodes[order], return_index=True)
        for node, places in zip(found.tolist(), np.split(order, first[1:]), strict=True):
            self._add(node, places, features)
        if 0 not in self._places:
            self._add(0, np.arange(len(nodes)), features)

    def _add(self, node: int, places: Integers, features: Floats) -> None:
        self._places[node] = places
        self._index[node] = cKDTree(features[places])

    def draw(self, nodes: Integers, features: Floats, generator: np.random.Generator) -> Integers:
        """A thing near to each row of features; of the nearest category above that has any.

        Parameters
        ----------
        nodes:
            Category of each row, shape ``(rows,)``.
        features:
            Shape ``(rows, features)``.
        """
        drawn = np.full(len(nodes), -1, dtype=np.int64)
        features = np.column_stack([features, _TIE * generator.random(len(features))])
        for node in np.unique(nodes).tolist():
            rows = np.flatnonzero(nodes == node)
            home = node
            while home not in self._places:
                home = int(self._parent[home])
            places = self._places[home]
            count = min(self._nearest, len(places))
            _, near = self._index[home].query(features[rows], k=np.arange(1, count + 1))
            odds = np.cumsum(self._weights[places[near]], axis=1)
            wanted = generator.random((len(rows), 1)) * odds[:, -1:]
            column = np.minimum((odds <= wanted).sum(axis=1), count - 1)
            drawn[rows] = places[near[np.arange(len(rows)), column]]
        return drawn
