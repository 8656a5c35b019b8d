"""Which shopper comes when: every session of a run, planned before the first one starts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from footfall.personas.persona import Persona
from footfall.simulator.arrivals import Arrivals
from footfall.simulator.visit_counts import sessions_per_shopper

__all__ = ["Itinerary", "PlannedVisit", "Schedule"]


@dataclass(frozen=True, slots=True)
class PlannedVisit:
    """One session to come; ``number`` counts all sessions of the run from 0."""

    number: int
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Itinerary:
    """The visits of one shopper that are still to come, in time order.

    ``shopper`` is the persona's index in the population.
    """

    shopper: int
    visits: tuple[PlannedVisit, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Sessions numbered shopper by shopper; those of one shopper in time order.

    ``counts`` has shape (shoppers,): how often each one comes. Start times are drawn only when a
    shopper's turn comes, so a plan of many sessions takes no more memory than its counts.
    """

    arrivals: Arrivals
    counts: npt.NDArray[np.int64]
    seed: int

    @classmethod
    def plan(
        cls, personas: Sequence[Persona], arrivals: Arrivals, *, sessions: int, seed: int
    ) -> Schedule:
        """Share ``sessions`` out among the personas by their activity."""
        rng = np.random.default_rng([seed, 1])
        return cls(arrivals, sessions_per_shopper(personas, sessions, rng), seed)

    def itineraries(
        self, done: Collection[int] = (), *, shoppers: Collection[int] | None = None
    ) -> Iterator[Itinerary]:
        """What every shopper (or each of ``shoppers``) has still to do; ``done`` is left out."""
        first = np.concatenate([[0], np.cumsum(self.counts)])
        for shopper, count in enumerate(self.counts.tolist()):
            if count == 0 or (shoppers is not None and shopper not in shoppers):
                continue
            numbers = range(int(first[shopper]), int(first[shopper]) + count)
            if all(number in done for number in numbers):
                continue
            rng = np.random.default_rng([self.seed, 2, shopper])
            times = self.arrivals.draw_times(rng, count)
            visits = tuple(
                PlannedVisit(number, moment)
                for number, moment in zip(numbers, times, strict=True)
                if number not in done
            )
            yield Itinerary(shopper, visits)
