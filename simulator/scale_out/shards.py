"""Shards of shoppers, and what of them is still to do: the driver's books.

A visit is crossed off when it is handed on, not before. So whatever a worker takes with it when it
dies can be given out again, with all that the shoppers remember up to there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from footfall.personas.persona import Persona
from footfall.simulator.crowd import FinishedVisit
from footfall.simulator.memory import PastVisit
from footfall.simulator.schedule import Itinerary

__all__ = ["Journey", "Shard", "ShardQueue", "default_shard_size"]

_LARGEST_SHARD = 256


@dataclass(slots=True)
class Journey:
    """One shopper: who it is, what is still to come, and what was before."""

    persona: Persona
    itinerary: Itinerary
    past: list[PastVisit]

    def cross_off(self, finished: FinishedVisit) -> None:
        """Move the next visit from what is to come to what was."""
        upcoming = self.itinerary.visits
        if upcoming[0].number != finished.number:
            raise AssertionError(f"visit {finished.number} came before {upcoming[0].number}")
        self.itinerary = Itinerary(self.itinerary.shopper, upcoming[1:])
        self.past.append(finished.visit.past())


@dataclass(slots=True)
class Shard:
    """Shoppers that travel together, those that are not done; ``deaths`` of workers among them."""

    number: int
    journeys: dict[int, Journey]
    deaths: int = 0

    def cross_off(self, finished: FinishedVisit) -> None:
        """Note that a visit was handed on; a shopper without further visits leaves the shard."""
        journey = self.journeys[finished.shopper]
        journey.cross_off(finished)
        if not journey.itinerary.visits:
            del self.journeys[finished.shopper]

    def describe(self) -> str:
        """Such as ``shard 3 (shoppers 12 to 17)``."""
        shoppers = sorted(self.journeys)
        which = f"{shoppers[0]} to {shoppers[-1]}" if shoppers[1:] else f"{shoppers[0]}"
        return f"shard {self.number} (shopper{'s' * bool(shoppers[1:])} {which})"


class ShardQueue:
    """Shards that wait for a worker: those that came back first, then new ones as they are cut.

    Parameters
    ----------
    itineraries, past, personas:
        As :class:`~footfall.simulator.crowd.Crowd` has them; only shards given out are in memory.
    size:
        Shoppers in a shard.
    """

    def __init__(
        self,
        itineraries: Iterable[Itinerary],
        past: Callable[[int], Iterable[PastVisit]],
        personas: Sequence[Persona],
        size: int,
    ) -> None:
        self._new = self._cut(itineraries, past, personas, size)
        self._returned: deque[Shard] = deque()
        self._next: Shard | None = None

    def waiting(self) -> bool:
        """Whether there is a shard to give out."""
        if self._returned:
            return True
        if self._next is None:
            self._next = next(self._new, None)
        return self._next is not None

    def take(self, holding: Iterable[Shard]) -> Shard | None:
        """A shard for a worker that holds these already, if it should have another.

        A worker holds two, so that its engine never waits for the next. A shard among whose
        shoppers a worker died travels alone: if it is to blame, no other is blamed with it.
        """
        held = list(holding)
        if len(held) > 1 or any(shard.deaths for shard in held) or not self.waiting():
            return None
        if self._returned:
            return None if held else self._returned.popleft()
        shard, self._next = self._next, None
        return shard

    def put_back(self, shard: Shard) -> None:
        """Take back a shard whose worker died."""
        self._returned.append(shard)

    @staticmethod
    def _cut(
        itineraries: Iterable[Itinerary],
        past: Callable[[int], Iterable[PastVisit]],
        personas: Sequence[Persona],
        size: int,
    ) -> Iterator[Shard]:
        coming = (itinerary for itinerary in itineraries if itinerary.visits)
        number = 0
        while together := list(islice(coming, size)):
            number += 1
            journeys = {
                itinerary.shopper: Journey(
                    personas[itinerary.shopper], itinerary, list(past(itinerary.shopper))
                )
                for itinerary in together
            }
            yield Shard(number, journeys)


def default_shard_size(shoppers: int, workers: int) -> int:
    """A quarter of a worker's share of the population, from 1 to 256."""
    return max(1, min(_LARGEST_SHARD, -(-shoppers // (4 * workers))))
