"""What shoppers took, as the shop sees it, while a crowd goes on."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from footfall.simulator.fast.block import Block
from footfall.simulator.fast.plan import SHOPPER
from footfall.simulator.fast.population import HISTORY

__all__ = ["Taken"]

Ints = npt.NDArray[np.int64]


class Taken:
    """Histories of a population: the last items of each shopper, newest last.

    Parameters
    ----------
    history:
        Rows of items to begin with, -1 for none, shape (shoppers, HISTORY).
    ids:
        Ids of the items.
    taken_by:
        What taking means: ``purchases``, or ``clicks`` where the log knows no purchases.
    """

    def __init__(
        self,
        history: Ints,
        ids: npt.NDArray[np.object_],
        taken_by: Literal["purchases", "clicks"],
    ) -> None:
        self.history = history.copy()
        self._items = ids
        self._taken_by = taken_by
        self._told: dict[int, tuple[str, ...]] = {}

    def ids(self, shopper: int) -> tuple[str, ...]:
        """Ids of what a shopper took, newest last."""
        told = self._told.get(shopper)
        if told is None:
            rows = self.history[shopper]
            told = self._told[shopper] = tuple(self._items[rows[rows >= 0]].tolist())
        return told

    def take_in(self, block: Block) -> tuple[Ints, Ints]:
        """Remember what the shoppers of a block took; who did, and their new histories."""
        taken = []
        for pages, shown in zip(block.pages, block.shown, strict=True):
            kept = shown.purchased if self._taken_by == "purchases" else shown.clicked
            visit = pages.visit[shown.page[kept]]
            step = pages.step[shown.page[kept]]
            taken.append(np.column_stack([visit, step, shown.item[kept]]))
        rows = np.concatenate(taken) if taken else np.zeros((0, 3), dtype=np.int64)
        rows = rows[block.plan.role[rows[:, 0]] == SHOPPER]
        # Visits of a block are in time order.
        rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
        shopper = block.plan.shopper[rows[:, 0]]
        order = np.argsort(shopper, kind="stable")
        changed, starts = np.unique(shopper[order], return_index=True)
        for each, items in zip(
            changed.tolist(), np.split(rows[order, 2], starts[1:]), strict=False
        ):
            self._remember(each, items.tolist())
        return changed, self.history[changed]

    def _remember(self, shopper: int, items: list[int]) -> None:
        row = self.history[shopper]
        known = dict.fromkeys(row[row >= 0].tolist())
        for item in items:
            known.pop(item, None)
            known[item] = None
        last = list(known)[-HISTORY:]
        row[:] = -1
        row[HISTORY - len(last) :] = last
        self._told.pop(shopper, None)
