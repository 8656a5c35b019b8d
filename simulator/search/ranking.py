"""The best items by score, ties included, in an order that never varies."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from footfall.errors import SettingError

__all__ = ["best_places", "check_page", "tie_ranks"]


def check_page(limit: int, offset: int) -> None:
    """Raise ``SettingError`` unless both are zero or more."""
    for name, value in (("limit", limit), ("offset", offset)):
        if value < 0:
            raise SettingError(f"{name} is {value}.", hint=f"Use a {name} of 0 or more.")


def tie_ranks(order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Rank of every place, given the places in the order that breaks ties."""
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def best_places(
    scores: npt.NDArray[Any],
    candidates: npt.NDArray[np.int64],
    ties: npt.NDArray[np.int64],
    *,
    limit: int,
    offset: int = 0,
) -> npt.NDArray[np.int64]:
    """Of ``candidates`` the places with the best scores, after the first ``offset`` of them.

    Parameters
    ----------
    scores:
        One score per candidate, shape ``(len(candidates),)``.
    candidates:
        Places in the catalogue.
    ties:
        Rank of every place of the catalogue among equal scores; the lower comes first.
    limit, offset:
        The page.
    """
    needed = limit + offset
    if not limit or not len(candidates):
        return candidates[:0]
    if needed < len(candidates):
        # All that tie with the last one needed are kept: the rank decides among them.
        threshold = np.partition(scores, len(scores) - needed)[len(scores) - needed]
        kept = scores >= threshold
        scores, candidates = scores[kept], candidates[kept]
    order = np.lexsort((ties[candidates], -scores))
    best: npt.NDArray[np.int64] = candidates[order[offset:needed]]
    return best
