"""Categories as a tree of nodes that each have enough data, and the cold items in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["CategoryTree", "ColdItems"]

Integers: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]

_SEPARATOR: Final = " > "


@dataclass(frozen=True, slots=True)
class CategoryTree:
    """Category paths cut where the log shows too little of them.

    Every item belongs to one node: the deepest step of its path below which the log shows enough.
    Nodes are numbered in depth-first order, so that a node's descendants follow it.

    Attributes
    ----------
    names:
        Path of each node; the first is the root, ``""``, where items without a category are.
    parent:
        Number of the node above, -1 above the root, shape ``(nodes,)``.
    end:
        One more than the last descendant's number, shape ``(nodes,)``.
    item_node:
        Node of each item, shape ``(items,)``.
    """

    names: list[str]
    parent: Integers
    end: Integers
    item_node: Integers

    @classmethod
    def build(
        cls,
        categories: Sequence[str | None],
        shown: Integers,
        *,
        fewest: int,
        most: int | None = None,
    ) -> CategoryTree:
        """Make the tree.

        Parameters
        ----------
        categories:
            Path of each item, joined by `` > ``; ``None`` without.
        shown:
            Rows of the log that show each item, shape ``(items,)``.
        fewest:
            A node needs so many rows, those of its descendants included.
        most:
            Most nodes, the root included; those with the most rows are kept.
        """
        paths = {text: tuple(text.split(_SEPARATOR)) for text in set(categories) if text}
        rows: Counter[tuple[str, ...]] = Counter()
        for text, times in zip(categories, shown.tolist(), strict=True):
            path = paths[text] if text else ()
            for depth in range(1, len(path) + 1):
                rows[path[:depth]] += times
        enough = [path for path, times in rows.items() if times >= fewest]
        # A path has as many rows as any below it, so its whole path is kept with it.
        enough.sort(key=lambda path: (-rows[path], len(path), path))
        kept = sorted(enough if most is None else enough[: most - 1])
        nodes: list[tuple[str, ...]] = [(), *kept]
        number = {path: place for place, path in enumerate(nodes)}
        parent = np.array([-1] + [number[path[:-1]] for path in kept], dtype=np.int64)
        end = np.arange(1, len(nodes) + 1)
        for place in range(len(nodes) - 1, 0, -1):
            end[parent[place]] = max(end[parent[place]], end[place])
        home = {
            text: next(number[path[:d]] for d in range(len(path), -1, -1) if path[:d] in number)
            for text, path in paths.items()
        }
        item_node = np.array([home[text] if text else 0 for text in categories], dtype=np.int64)
        return cls([_SEPARATOR.join(path) for path in nodes], parent, end, item_node)

    def __len__(self) -> int:
        return len(self.names)


class ColdItems:
    """Items without any response, to be drawn by category.

    Parameters
    ----------
    tree:
        The categories.
    cold:
        Which items are cold, shape ``(items,)``.
    """

    def __init__(self, tree: CategoryTree, cold: Flags) -> None:
        places = np.flatnonzero(cold)
        self._items = places[np.argsort(tree.item_node[places], kind="stable")]
        nodes = tree.item_node[self._items]
        # Of each node: where its own and its descendants' cold items begin and end. A node that
        # has none takes those of the nearest node above that has.
        begin = np.searchsorted(nodes, np.arange(len(tree)))
        end = np.searchsorted(nodes, tree.end)
        for node in range(1, len(tree)):
            if begin[node] == end[node]:
                begin[node], end[node] = begin[tree.parent[node]], end[tree.parent[node]]
        self._begin, self._end = begin, end

    def __len__(self) -> int:
        return len(self._items)

    def draw(self, nodes: Integers, generator: np.random.Generator) -> Integers:
        """A cold item of each node, all alike likely; the nearest node above that has any.

        The shape is that of ``nodes``. There must be a cold item.
        """
        span = self._end[nodes] - self._begin[nodes]
        drawn: Integers = self._items[self._begin[nodes] + generator.integers(0, span)]
        return drawn
