"""A crowd whose preferences and words come from a language model, in front of a target.

It is the simulation's own crowd; only the pages come from the target. It is slow: what it is for is
what the fast crowd cannot show, such as shoppers who are taken in by the text of an item's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from footfall.personas.persona import Persona
from footfall.progress import track
from footfall.simulator.behaviour import sigmoid
from footfall.simulator.catalog import Catalog
from footfall.simulator.crowd import Crowd, FinishedVisit
from footfall.simulator.crowd_events import (
    IMPRESSION_SCHEMA,
    PAGE_SCHEMA,
    VISIT_SCHEMA,
    CrowdEvents,
)
from footfall.simulator.engines.protocol import Engine
from footfall.simulator.fast.plan import VisitPlan
from footfall.simulator.memory import PastVisit
from footfall.simulator.needs import NeedBook
from footfall.simulator.schedule import Itinerary, PlannedVisit
from footfall.simulator.shopper import Page, Shop
from footfall.simulator.targets.protocol import AnsweredPage, PageRequest, TargetClient
from footfall.simulator.targets.visited import VisitedTarget

__all__ = ["LanguageModelCrowd"]

QueryChange = Callable[[list[str], np.random.Generator], list[str]]


@dataclass
class _Retyped:
    """A target whose shoppers type otherwise than they meant to."""

    client: TargetClient
    change: QueryChange
    seed: int

    @property
    def name(self) -> str:
        return self.client.name

    def ask(self, requests: Sequence[PageRequest]) -> Sequence[AnsweredPage]:
        return self.client.ask([self._retyped(request) for request in requests])

    def _retyped(self, request: PageRequest) -> PageRequest:
        if request.query is None:
            return request
        # The same words of the same shopper at the same time are changed in the same way.
        key = f"{request.shopper_id}/{request.at.isoformat()}/{request.query}"
        rng = np.random.default_rng([self.seed, *key.encode()])
        return replace(request, query=self.change([request.query], rng)[0])

    def fit(self, items: pa.Table, events: pa.Table) -> bool:
        return self.client.fit(items, events)

    def close(self) -> None:
        self.client.close()


class LanguageModelCrowd:
    """Leads personas through pages of a target, day by day.

    Parameters
    ----------
    shop:
        A shop as :func:`footfall.simulator.shop_opening.open_shop` makes it.
    personas:
        The population that plans point into.
    engine:
        The language model.
    client:
        The target.
    catalog:
        The scenario's items; their texts are what shoppers read.
    available:
        Which of them can be bought, shape (items,).
    seed:
        Of everything that is drawn.
    concurrency:
        Shoppers in the shop at the same time.
    demand:
        How much more often top-level categories are needed, as fitted for the shop; a scenario's
        factors multiply it.
    query_change:
        What becomes of typed queries on their way to the target.
    """

    def __init__(
        self,
        shop: Shop,
        personas: Sequence[Persona],
        engine: Engine,
        client: TargetClient,
        *,
        catalog: Catalog,
        available: np.ndarray[Any, np.dtype[np.bool_]],
        seed: int,
        concurrency: int = 48,
        demand: Mapping[str, float] | None = None,
        query_change: QueryChange | None = None,
    ) -> None:
        asked = client if query_change is None else _Retyped(client, query_change, seed)
        self.personas = list(personas)
        self._shop = replace(
            shop,
            catalog=catalog,
            needs=NeedBook(catalog, demand=demand),
            target=VisitedTarget(asked, catalog),
            unavailable=frozenset(catalog.item_ids[~available].tolist()),
        )
        self._engine = engine
        self._seed = seed
        self._concurrency = concurrency
        self._past: dict[int, list[PastVisit]] = {}
        self._usual = dict(demand or {})
        self._demand: dict[str, float] = {}

    @property
    def demand(self) -> Mapping[str, float]:
        """Factors of top-level categories by which they are needed more or less often."""
        return self._demand

    @demand.setter
    def demand(self, factors: Mapping[str, float]) -> None:
        self._demand = dict(factors)
        names = {*self._usual, *self._demand}
        whole = {n: self._usual.get(n, 1.0) * self._demand.get(n, 1.0) for n in names}
        self._shop = replace(self._shop, needs=self._shop.needs.with_demand(whole))

    def run(self, plan: VisitPlan) -> CrowdEvents:
        """All visits of the plan; shoppers remember the visits of earlier calls."""
        crowd = Crowd(
            self._shop,
            self.personas,
            self._engine,
            seed=self._seed,
            concurrency=self._concurrency,
            key="stress/",
        )
        finished: list[FinishedVisit] = []
        with track("Shoppers in the shop", total=len(plan)) as progress:
            for each in crowd.run(_itineraries(plan), lambda number: self._past.get(number, ())):
                finished.append(each)
                progress.advance()
        finished.sort(key=lambda each: (each.shopper, each.visit.started_at, each.number))
        for each in finished:
            self._past.setdefault(each.shopper, []).append(each.visit.past())
        days = dict(zip(plan.number.tolist(), plan.day.tolist(), strict=True))
        return _events(finished, self.personas, days, self._shop.page_size)


def _itineraries(plan: VisitPlan) -> list[Itinerary]:
    order = np.lexsort((plan.number, plan.started_at, plan.shopper))
    coming: dict[int, list[PlannedVisit]] = {}
    for place in order.tolist():
        visit = PlannedVisit(int(plan.number[place]), plan.started_at[place].item())
        coming.setdefault(int(plan.shopper[place]), []).append(visit)
    return [Itinerary(shopper, tuple(visits)) for shopper, visits in coming.items()]


def _events(
    finished: Sequence[FinishedVisit],
    personas: Sequence[Persona],
    days: Mapping[int, int],
    limit: int,
) -> CrowdEvents:
    visits, pages, impressions = [], [], []
    for each in finished:
        session_id = f"{each.number:08d}"
        visit = each.visit
        failed = bool(visit.pages) and visit.pages[-1].failure is not None
        visits.append(
            {
                "session_id": session_id,
                "shopper_id": personas[each.shopper].persona_id,
                "day": days[each.number],
                "started_at": visit.started_at,
                "ended_at": visit.ended_at,
                "ended_by": "failed page" if failed else visit.ended_by,
                "role": "shopper",
            }
        )
        for page in visit.pages:
            search_id = f"{session_id}/{page.step:02d}"
            pages.append(_page_row(page, search_id, session_id, limit))
            impressions += _impression_rows(page, search_id)
    return CrowdEvents(
        pa.Table.from_pylist(visits, schema=VISIT_SCHEMA),
        pa.Table.from_pylist(pages, schema=PAGE_SCHEMA),
        pa.Table.from_pylist(impressions, schema=IMPRESSION_SCHEMA),
    )


def _page_row(page: Page, search_id: str, session_id: str, limit: int) -> dict[str, Any]:
    return {
        "search_id": search_id,
        "session_id": session_id,
        "step": page.step,
        "page": page.page,
        "query": page.query,
        "answered_by": page.answered_by,
        "searched_at": page.searched_at,
        "limit": limit,
        "needed": page.needed,
        "failure": page.failure,
        "seconds": page.seconds,
    }


def _impression_rows(page: Page, search_id: str) -> list[dict[str, Any]]:
    if page.chances is None:
        return []
    gains = sigmoid(page.chances.log_odds - page.intent)
    return [
        {
            "search_id": search_id,
            "position": item.position,
            "item_id": item.item_id,
            "price": item.price,
            "clicked": item.clicked_at is not None,
            "carted": item.carted,
            "purchased": item.purchased_at is not None,
            "gain": float(gain),
        }
        for item, gain in zip(page.items, gains, strict=True)
    ]
