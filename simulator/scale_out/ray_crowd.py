"""The crowd spread over the workers of a Ray cluster: the driver's side."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace

from footfall.personas.persona import Persona
from footfall.simulator.crowd import FinishedVisit
from footfall.simulator.engines.protocol import EngineIdentity
from footfall.simulator.engines.settings import EngineSettings
from footfall.simulator.memory import PastVisit
from footfall.simulator.scale_out.cluster import open_cluster
from footfall.simulator.scale_out.packed_shop import PackedShop
from footfall.simulator.scale_out.portable import needed_variables, portable_settings
from footfall.simulator.scale_out.requirements import require_scalable
from footfall.simulator.scale_out.settings import RaySettings
from footfall.simulator.scale_out.shards import ShardQueue, default_shard_size
from footfall.simulator.scale_out.team import Team
from footfall.simulator.scale_out.worker import Contract
from footfall.simulator.schedule import Itinerary
from footfall.simulator.shopper import Shop

__all__ = ["RayCrowd"]


class RayCrowd:
    """Leads shoppers through a shop on many machines, as ``Crowd`` does in this process.

    With the same answers it yields the same visits, in another order. A worker that dies is
    replaced, and what it had not handed over is done again: sessions that had ended, and up to
    ``concurrency`` that had not.

    Parameters
    ----------
    shop:
        What all visits share.
    personas:
        The population that itineraries point into.
    engine:
        How every worker opens its engine. Paths are made whole, and the server's key goes along;
        in-process models sample words from different random streams.
    identity:
        What the run is of; a worker whose engine is another model is refused.
    settings:
        How many workers, and where.
    seed, key:
        As for :class:`~footfall.simulator.crowd.Crowd`.
    concurrency:
        Shoppers in the shop at the same time, for each worker.
    search, recommender:
        Names that the shop's engines were opened by, for those that cannot be sent.

    Raises
    ------
    MissingPartError
        If Ray is not installed.
    SettingError
        If answers are to be recorded: a recording has one writer.
    EngineUnavailableError
        If nothing answers at the cluster's address.
    """

    def __init__(
        self,
        shop: Shop,
        personas: Sequence[Persona],
        engine: EngineSettings,
        *,
        identity: EngineIdentity,
        settings: RaySettings,
        seed: int,
        concurrency: int = 48,
        key: str = "",
        search: str = "bm25",
        recommender: str = "popularity",
    ) -> None:
        require_scalable(engine, settings)
        self.personas = personas
        self.settings = settings
        self._shop = PackedShop(shop, search, recommender)
        sent = portable_settings(engine)
        if identity.model == engine.model:  # else the workers' would seem to be another model
            identity = replace(identity, model=sent.model)
        self.contract = Contract(
            sent,
            identity,
            seed,
            concurrency,
            key,
            settings.batch_visits,
            needed_variables(engine),
        )

    def run(
        self,
        itineraries: Iterable[Itinerary],
        past: Callable[[int], Iterable[PastVisit]] = lambda _: (),
    ) -> Generator[FinishedVisit]:
        """Yield visits as workers hand them over, those of one shopper in time order.

        Workers stop while nobody takes what they have, so memory stays flat. Closing the
        generator, and any error or interrupt, ends the workers.

        Raises
        ------
        EngineUnavailableError
            If there is no cluster, no worker starts while none is left, or the worker of a shard
            dies again and again.
        FootfallError
            Whatever opening the engine raises in a worker while no other has one, and whatever
            asking it raises that another worker would meet too.
        """
        settings = self.settings
        size = settings.shard_size or default_shard_size(len(self.personas), settings.workers)
        queue = ShardQueue(itineraries, past, self.personas, size)
        if not queue.waiting():
            return
        with open_cluster(settings) as ray:
            team = Team(ray, self._shop, self.contract, settings)
            try:
                yield from team.lead(queue)
                team.retire()
            finally:
                team.end()
