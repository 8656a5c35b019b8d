"""Visits that advance together, and what they leave behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from footfall.simulator.fast.plan import VisitPlan

__all__ = ["ENDS", "FAILURES", "Block", "ShownRows", "StepRows"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: How visits end, as in the table of visits.
ENDS: Final = ("bought", "left", "out of patience", "no query", "failed page")
#: Why a page was not answered; the first is none.
FAILURES: Final = (None, "timeout", "error", "malformed")


class StepRows(NamedTuple):
    """The pages of one step of all active visits, arrays of shape (pages,)."""

    visit: Ints
    step: Ints
    page: Ints
    query: list[str | None]
    needed: Ints
    seconds_in: Floats
    failure: Ints
    waited: Floats
    ideal: Floats


class ShownRows(NamedTuple):
    """The items on those pages, arrays of shape (items shown,).

    ``page`` counts the pages of the step; ``log_odds`` are without the visit's intent.
    """

    page: Ints
    position: Ints
    item: Ints
    log_odds: Floats
    looked: Flags
    clicked: Flags
    carted: Flags
    purchased: Flags


@dataclass
class Block:
    """State of the visits of a block; all arrays of shape (visits,).

    Attributes
    ----------
    seconds
        Since the visit began.
    steps, page
        Pages seen so far; number of the page that is looked at, 1 being a list's first.
    needed, needs, needed_before
        Row of the item in mind, how many needs there were before it, and which, -1 for none, shape
        (visits, most pages + 1).
    attempt
        Queries that have served this need.
    browsing
        Whether nothing is typed.
    meant, typed
        What the shopper wanted to type, as a place in the crowd's query vectors, and what arrived.
    ideal
        Discounted gain of the best page for what is in mind.
    intent
        Log-odds of the visit's clicks.
    ended
        Place in :data:`ENDS`, -1 while the visit goes on.
    clicked
        Keys of what was clicked, a visit, need and item each.
    """

    plan: VisitPlan
    needed: Ints
    needed_before: Ints
    browsing: Flags
    intent: Floats
    seconds: Floats = field(init=False)
    steps: Ints = field(init=False)
    page: Ints = field(init=False)
    needs: Ints = field(init=False)
    attempt: Ints = field(init=False)
    meant: Ints = field(init=False)
    ideal: Floats = field(init=False)
    ended: Ints = field(init=False)
    typed: list[str | None] = field(init=False)
    clicked: Ints = field(init=False)
    pages: list[StepRows] = field(default_factory=list)
    shown: list[ShownRows] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin all visits."""
        count = len(self.plan)
        self.seconds = np.zeros(count)
        self.steps, self.needs, self.attempt, self.meant = np.zeros((4, count), dtype=np.int64)
        self.page = np.ones(count, dtype=np.int64)
        self.ended = np.full(count, -1, dtype=np.int64)
        self.ideal = np.zeros(count)
        self.typed = [None] * count
        self.clicked = np.zeros(0, dtype=np.int64)
        self.needed_before[:, 0] = self.needed

    @property
    def moments(self) -> npt.NDArray[np.datetime64]:
        """Time of each visit now."""
        return self.moments_after(np.arange(len(self.plan)), self.seconds)

    def moments_after(self, visit: Ints, seconds: Floats) -> npt.NDArray[np.datetime64]:
        """Times so many seconds after these visits began."""
        passed = (seconds * 1e6).astype("timedelta64[us]")
        return np.asarray(self.plan.started_at[visit] + passed)

    def end(self, visits: Ints, how: Ints | int) -> None:
        """These visits end."""
        self.ended[visits] = how
