"""What a shop knows when a page is asked for, as arrays that a policy reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from footfall.simulator.fast import FastShop
from footfall.simulator.fast.block import Block
from footfall.simulator.fast.population import history_vectors
from footfall.simulator.targets.protocol import PageRequest

if TYPE_CHECKING:
    from gymnasium import spaces

__all__ = ["FEATURES", "ShopObservation"]

#: Columns of ``features``: log popularity by the most popular item's; log price above what is usual
#: in the category, halved and cut at 1 (0 where unknown); 1 where the shopper took the item before.
FEATURES: Final = ("popularity", "price", "taken before")

_MOST_EXCESS: Final = 2.0


class ShopObservation:
    """Makes observations: a dictionary of float32 arrays, all within -1 and 1.

    ========== ================= =================================================================
    key        shape             what
    ========== ================= =================================================================
    shopper    (d,)              mean vector of what the shopper took, newer items counting more
    query      (d,)              vector of what was typed; zeros when browsing
    candidates (candidates, d)   vectors of the candidates, in the retrieval's order
    features   (candidates, 3)   :data:`FEATURES`
    mask       (candidates,)     1 where there is a candidate
    visit      (3,)              pages seen before and number of this page in its list, by the most
                                 pages of a visit; 1 where something was typed
    ========== ================= =================================================================

    ``d`` is the shop's number of dimensions. After the end of a visit, ``query``, ``candidates``,
    ``features`` and ``mask`` are zeros.

    Parameters
    ----------
    shop:
        Everything fitted.
    candidates:
        How many there are at most.
    """

    def __init__(self, shop: FastShop, candidates: int) -> None:
        self._shop = shop
        self._candidates = candidates
        items = shop.items
        most = max(float(items.log_popularity.max(initial=0.0)), 1e-9)
        price = np.clip(np.nan_to_num(items.excess) / _MOST_EXCESS, -1.0, 1.0)
        self._of_item = np.column_stack([items.log_popularity / most, price]).astype(np.float32)

    def space(self) -> spaces.Dict:
        """The space of observations."""
        from gymnasium import spaces

        width, count = self._shop.items.vectors.shape[1], self._candidates
        shapes: dict[str, tuple[tuple[int, ...], float]] = {
            "shopper": ((width,), -1.0),
            "query": ((width,), -1.0),
            "candidates": ((count, width), -1.0),
            "features": ((count, len(FEATURES)), -1.0),
            "mask": ((count,), 0.0),
            "visit": ((3,), 0.0),
        }
        return spaces.Dict(
            {name: spaces.Box(low, 1.0, shape, np.float32) for name, (shape, low) in shapes.items()}
        )

    def of(
        self, block: Block, request: PageRequest | None, candidates: npt.NDArray[np.int64]
    ) -> dict[str, npt.NDArray[np.float32]]:
        """What is known of the one visit of ``block``; without a request, it has ended.

        Parameters
        ----------
        candidates:
            Rows of the catalogue, at most as many as there may be.
        """
        shop, width = self._shop, self._shop.items.vectors.shape[1]
        history = shop.population.history[block.plan.shopper[:1]]
        found = {
            "shopper": history_vectors(history, shop.items.vectors)[0],
            "query": np.zeros(width),
            "candidates": np.zeros((self._candidates, width)),
            "features": np.zeros((self._candidates, len(FEATURES))),
            "mask": np.zeros(self._candidates),
            "visit": np.zeros(3),
        }
        found["visit"][0] = block.steps[0] / shop.most_pages
        if request is not None:
            count = len(candidates)
            found["visit"][1:] = block.page[0] / shop.most_pages, request.query is not None
            if request.query is not None:
                place = shop.query_vectors.place(request.query)
                found["query"] = shop.query_vectors.of(np.array([place]))[0]
            found["candidates"][:count] = shop.items.vectors[candidates]
            found["features"][:count, :2] = self._of_item[candidates]
            found["features"][:count, 2] = np.isin(candidates, history)
            found["mask"][:count] = 1.0
        # Rounding may leave a vector of length one a little longer.
        return {
            name: np.clip(np.array(values, dtype=np.float32), -1.0, 1.0)
            for name, values in found.items()
        }
