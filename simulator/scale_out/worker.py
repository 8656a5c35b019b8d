"""What runs in a worker: an engine and a crowd, asked for finished visits batch by batch.

Nothing in here knows of Ray. A worker computes only while it is asked, so a driver that asks no
more stops it, and no visits pile up.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

from footfall.errors import EngineError, FootfallError
from footfall.personas.persona import Persona
from footfall.simulator.crowd import Crowd, FinishedVisit
from footfall.simulator.engines.processor import usable_cores
from footfall.simulator.engines.protocol import Engine, EngineIdentity
from footfall.simulator.engines.settings import EngineSettings, open_engine
from footfall.simulator.engines.shared_answers import SharedAnswers
from footfall.simulator.memory import PastVisit
from footfall.simulator.scale_out.packed_shop import PackedShop
from footfall.simulator.scale_out.shards import Journey
from footfall.simulator.schedule import Itinerary

__all__ = ["Batch", "Contract", "Place", "ShopWorker"]

#: A batch that is not full is handed over after this many seconds if it has any visits.
_BATCH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Contract:
    """What is the same for all workers of a run, but for the seed of an in-process engine.

    ``identity`` is the driver's engine: a worker whose engine is another model must not join.
    ``variables`` of the driver's environment take the place of what a worker has by that name.
    """

    engine: EngineSettings
    identity: EngineIdentity
    seed: int
    concurrency: int
    key: str
    batch_visits: int
    # Not shown: the server's key may be among them.
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker runs, and the processor cores that it may use."""

    machine: str
    cores: list[int]
    process: int


@dataclass(slots=True)
class Batch:
    """Visits as they ended, and the error that stopped the worker after them, if one did."""

    visits: list[FinishedVisit] = field(default_factory=list)
    error: FootfallError | None = None


class ShopWorker:
    """Leads the shoppers that it is given through the shop, ``concurrency`` at a time."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._crowd: Crowd | None = None
        self._arrivals = _Arrivals()
        self._visits: Iterator[FinishedVisit] = iter(())
        self._batch_visits = 1

    def place(self) -> Place:
        """Where this worker runs."""
        return Place(socket.gethostname(), usable_cores(), os.getpid())

    def open(
        self, packed: PackedShop, contract: Contract, environment: dict[str, str]
    ) -> FootfallError | None:
        """Open the engine and the shop; the error where that fails.

        ``environment`` holds variables that are set before the engine loads, unless they are set
        already.
        """
        for name, value in environment.items():
            os.environ.setdefault(name, value)
        os.environ.update(contract.variables)
        try:
            self._engine = SharedAnswers(open_engine(contract.engine))
            _require_same_model(self._engine.identity, contract.identity)
            self._batch_visits = contract.batch_visits
            self._crowd = Crowd(
                packed.open(),
                self._arrivals.personas,
                self._engine,
                seed=contract.seed,
                concurrency=contract.concurrency,
                key=contract.key,
            )
        except FootfallError as error:
            self.close()
            return error
        return None

    def go_on(self, journeys: Sequence[Journey]) -> Batch:
        """Take more shoppers in, and lead all until a batch of visits has ended.

        The batch is smaller, or empty, only where there is nothing left to do.
        """
        self._arrivals.queue.extend(journeys)
        batch = Batch()
        end = monotonic() + _BATCH_SECONDS
        try:
            while len(batch.visits) < self._batch_visits and (
                not batch.visits or monotonic() < end
            ):
                finished = self._next()
                if finished is None:
                    break
                batch.visits.append(finished)
        except FootfallError as error:
            batch.error = error
        return batch

    def close(self) -> None:
        """Free the engine."""
        if self._engine is not None:
            self._engine.close()

    def _next(self) -> FinishedVisit | None:
        finished = next(self._visits, None)
        if finished is None and self._arrivals.queue and self._crowd is not None:
            self._visits = self._crowd.run(self._arrivals, self._arrivals.past.pop)
            finished = next(self._visits, None)
        return finished


class _Arrivals:
    """Shoppers as the crowd has room for them; those of later shards follow at once.

    Unlike a generator it goes on after its end when more have come: the crowd asks again every
    round, so it takes in a shard that arrives while shoppers of the last one are still busy.
    """

    def __init__(self) -> None:
        self.queue: deque[Journey] = deque()
        self.personas: dict[int, Persona] = {}
        self.past: dict[int, Sequence[PastVisit]] = {}

    def __iter__(self) -> Iterator[Itinerary]:
        return self

    def __next__(self) -> Itinerary:
        # The crowd has taken over what it needs of the one before.
        self.personas.clear()
        if not self.queue:
            raise StopIteration
        journey = self.queue.popleft()
        shopper = journey.itinerary.shopper
        self.personas[shopper] = journey.persona
        self.past[shopper] = journey.past
        return journey.itinerary


def _require_same_model(found: EngineIdentity, wanted: EngineIdentity) -> None:
    if (found.model, found.model_hash) != (wanted.model, wanted.model_hash):
        raise EngineError(
            f"A worker's engine is {found.model} ({found.model_hash[:12]}), and the run is of "
            f"{wanted.model} ({wanted.model_hash[:12]}).",
            hint="Give every machine of the cluster the same model under the same name.",
        )
