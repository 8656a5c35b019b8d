"""The category that a page is about."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from footfall.simulator.generators.categories import CategoryTree
from footfall.simulator.generators.real_pages import RealPages

__all__ = ["page_nodes"]

Integers: TypeAlias = npt.NDArray[np.int64]

#: What an item counts that was shown only, beside one that was responded to.
_SHOWN: Final = 1e-3


def page_nodes(pages: RealPages, tree: CategoryTree) -> Integers:
    """Node of each page: what most responses are of, else most items shown; shape ``(pages,)``.

    Pages of one query count together, because they are about the same. The root where a page
    shows nothing.
    """
    queries = len(pages.queries)
    subject = np.where(pages.query >= 0, pages.query, queries + np.arange(len(pages)))
    votes = np.where(pages.responding[pages.response], 1.0, _SHOWN)
    keys, place = np.unique(
        subject[pages.page] * len(tree) + tree.item_node[pages.item], return_inverse=True
    )
    totals = np.bincount(place, votes)
    # The last of equal subjects has the most votes, and of equal votes the first node.
    order = np.lexsort((-keys, totals, keys // len(tree)))
    owner = keys[order] // len(tree)
    last = np.append(owner[1:] != owner[:-1], True)
    node = np.zeros(queries + len(pages), dtype=np.int64)
    node[owner[last]] = keys[order][last] % len(tree)
    about: Integers = node[subject]
    return about
