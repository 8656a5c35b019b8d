"""Many shoppers at once against one engine, without any log: the part that can run anywhere.

Every shopper's visits follow one another, because memory of a visit shapes the next; different
shoppers never wait for each other. A visit that waits for the engine costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from footfall.personas.persona import Persona
from footfall.simulator.engines.protocol import Answer, Engine, Request
from footfall.simulator.memory import Memory, PastVisit
from footfall.simulator.schedule import Itinerary, PlannedVisit
from footfall.simulator.shopper import Shop, Steps, Visit, visit

__all__ = ["Crowd", "FinishedVisit", "VisitSource"]


@dataclass(frozen=True, slots=True)
class FinishedVisit:
    """A visit that has ended; ``shopper`` is the index of its persona."""

    number: int
    shopper: int
    visit: Visit


class VisitSource(Protocol):
    """Whatever leads shoppers through a shop: here, or on other machines."""

    def run(
        self, itineraries: Iterable[Itinerary], past: Callable[[int], Iterable[PastVisit]] = ...
    ) -> Generator[FinishedVisit]:
        """Yield visits as they end, those of one shopper in time order."""


@dataclass(slots=True)
class _Shopper:
    """Someone in the shop: what they remember, what they wait for, and where they go next."""

    itinerary: Itinerary
    memory: Memory
    upcoming: Iterator[PlannedVisit]
    inclination: float
    number: int = -1
    steps: Steps | None = None
    tickets: list[int] = field(default_factory=list)
    answers: dict[int, Answer] = field(default_factory=dict)


class Crowd:
    """Leads shoppers through a shop, ``concurrency`` of them at a time.

    Parameters
    ----------
    shop:
        What all visits share.
    personas:
        The population that itineraries point into.
    engine:
        The language model.
    seed:
        Seed of everything that is drawn; each visit has a generator of its own.
    concurrency:
        Shoppers in the shop at the same time.
    key:
        Put before the requests' draw keys, so that two crowds never share a drawn text.
    """

    def __init__(
        self,
        shop: Shop,
        personas: Sequence[Persona] | Mapping[int, Persona],
        engine: Engine,
        *,
        seed: int,
        concurrency: int = 48,
        key: str = "",
    ) -> None:
        self.shop = shop
        self.personas = personas
        self.engine = engine
        self.seed = seed
        self.concurrency = concurrency
        self.key = key
        self._waiting: dict[int, _Shopper] = {}

    def run(
        self,
        itineraries: Iterable[Itinerary],
        past: Callable[[int], Iterable[PastVisit]] = lambda _: (),
    ) -> Generator[FinishedVisit]:
        """Yield visits as they end, those of one shopper in time order.

        ``itineraries`` are asked for more whenever there is room, even after they have said that
        there are none: an iterator that can go on after its end may be filled while this runs.

        ``past`` gives what a shopper did before the itinerary, in time order: of a run that goes
        on, the visits that the log holds already.

        Raises
        ------
        EngineUnavailableError
            If the engine dies; visits yielded before are whole.
        """
        # What a crowd that was broken off waited for is nobody's any more.
        self._waiting = {}
        coming = iter(itineraries)
        inside = 0
        while True:
            while inside < self.concurrency:
                itinerary = next(coming, None)
                if itinerary is None:
                    break
                shopper = self._welcome(itinerary, past(itinerary.shopper))
                yield from self._go_on(shopper)
                inside += shopper.steps is not None
            if not self._waiting:
                return
            for ticket, answer in self.engine.collect():
                shopper = self._waiting.pop(ticket)
                shopper.answers[ticket] = answer
                if len(shopper.answers) == len(shopper.tickets):
                    answers = [shopper.answers[each] for each in shopper.tickets]
                    yield from self._go_on(shopper, answers)
                    inside -= shopper.steps is None

    def _welcome(self, itinerary: Itinerary, past: Iterable[PastVisit]) -> _Shopper:
        memory = Memory(self.personas[itinerary.shopper], self.shop.catalog, self.shop.rhythm)
        for before in past:
            memory.remember(before)
        rng = np.random.default_rng([self.seed, 3, itinerary.shopper + 1])
        return _Shopper(itinerary, memory, iter(itinerary.visits), rng.normal())

    def _go_on(
        self, shopper: _Shopper, answers: list[Answer] | None = None
    ) -> Iterator[FinishedVisit]:
        """Resume a shopper until the engine is asked something or the itinerary is over."""
        while True:
            if shopper.steps is None:
                planned = next(shopper.upcoming, None)
                if planned is None:
                    return
                shopper.number = planned.number
                shopper.steps = self._enter(shopper, planned)
                answers = None
            try:
                requests: list[Request] = (
                    next(shopper.steps) if answers is None else shopper.steps.send(answers)
                )
            except StopIteration as end:
                finished: Visit = end.value
                shopper.steps = None
                shopper.memory.remember(finished.past())
                yield FinishedVisit(shopper.number, shopper.itinerary.shopper, finished)
                continue
            if not requests:
                answers = []
                continue
            shopper.answers = {}
            shopper.tickets = [self.engine.submit(request) for request in requests]
            self._waiting.update(dict.fromkeys(shopper.tickets, shopper))
            return

    def _enter(self, shopper: _Shopper, planned: PlannedVisit) -> Steps:
        rng = np.random.default_rng([self.seed, planned.number])
        key = f"{self.key}{planned.number}"
        return visit(
            self.shop,
            shopper.memory,
            rng,
            planned.started_at,
            key,
            inclination=shopper.inclination,
        )
