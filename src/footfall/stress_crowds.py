"""The crowds of a stress test: without a language model, or with one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from footfall.errors import SettingError
from footfall.eval.stress.crowds import CrowdMaker, DailyCrowd
from footfall.eval.stress.llm_crowd import LanguageModelCrowd
from footfall.eval.stress.settings import StressSettings
from footfall.eval.stress.world import ScenarioWorld
from footfall.personas import Persona
from footfall.simulator import Engine, EngineSettings, Log, SimulationSettings, open_engine
from footfall.simulator.arrivals import Arrivals
from footfall.simulator.catalog import Catalog
from footfall.simulator.crowd_events import CrowdEvents
from footfall.simulator.engines.shared_answers import SharedAnswers
from footfall.simulator.fast import FastCrowd, FastShop
from footfall.simulator.fast.plan import SHOPPER, VisitPlan
from footfall.simulator.shop_opening import open_shop
from footfall.simulator.targets import TargetClient

__all__ = ["crowd_words", "open_crowd_maker"]


def crowd_words(settings: StressSettings) -> str:
    """What the shoppers' preferences come from, in words."""
    if settings.crowd == "llm":
        return "preferences and words of a language model"
    return "preferences from embeddings tuned to the log"


@contextmanager
def open_crowd_maker(
    log: Log,
    shop: FastShop,
    personas: Sequence[Persona],
    settings: StressSettings,
    engine: EngineSettings | Engine | None,
) -> Iterator[CrowdMaker]:
    """What makes a crowd of each scenario, while the language model, if any, is open.

    Raises
    ------
    SettingError
        If a language model is given to a crowd that asks none.
    """

    def fast(world: ScenarioWorld, client: TargetClient) -> FastCrowd:
        changed = shop.with_world(
            catalog=world.catalog, personas=world.personas, available=world.available
        )
        return FastCrowd(
            changed,
            client,
            seed=settings.seed,
            demand=world.demand[0] if world.demand else {},
            query_change=world.query_change,
            attacked=world.attacked,
            browse_share=settings.browsing_share,
        )

    if settings.crowd == "fast":
        if engine is not None:
            raise SettingError(
                "The fast crowd asks no language model, but one was given.",
                hint='Set crowd = "llm" (--crowd llm), or leave the engine out.',
            )
        yield fast
        return
    if engine is not None and not isinstance(engine, EngineSettings):
        yield _language_model(log, personas, settings, engine, fast)
        return
    opened = open_engine(engine or EngineSettings())
    try:
        yield _language_model(log, personas, settings, opened, fast)
    finally:
        opened.close()


def _language_model(
    log: Log,
    personas: Sequence[Persona],
    settings: StressSettings,
    engine: Engine,
    fast: CrowdMaker,
) -> CrowdMaker:
    simulated = SimulationSettings(
        sessions=settings.sessions,
        until=settings.until,
        seed=settings.seed,
        page_size=settings.page_size,
        browsing_share=settings.browsing_share,
    )
    arrivals = Arrivals.from_log(log, until=settings.until, weeks=simulated.weeks)
    catalog = Catalog.from_log(log, until=settings.until)
    shared = SharedAnswers(engine)
    opened = open_shop(log, catalog, personas, shared, simulated, arrivals)

    def make(world: ScenarioWorld, client: TargetClient) -> DailyCrowd:
        crowd = LanguageModelCrowd(
            opened.shop,
            world.personas,
            shared,
            client,
            catalog=world.catalog,
            available=world.available,
            seed=settings.seed,
            concurrency=settings.concurrency,
            demand=opened.fit.demand,
            query_change=world.query_change,
        )
        return _WithAttackers(crowd, fast(world, client))

    return make


class _WithAttackers:
    """Shoppers of a language model, and attackers, who need none."""

    def __init__(self, shoppers: DailyCrowd, attackers: DailyCrowd) -> None:
        self._shoppers = shoppers
        self._attackers = attackers
        self.demand: Mapping[str, float] = {}

    def run(self, plan: VisitPlan) -> CrowdEvents:
        self._shoppers.demand = self.demand
        parts = [self._shoppers.run(plan.take(np.flatnonzero(plan.role == SHOPPER)))]
        if (plan.role != SHOPPER).any():
            parts.append(self._attackers.run(plan.take(np.flatnonzero(plan.role != SHOPPER))))
        return CrowdEvents.joined(parts)
