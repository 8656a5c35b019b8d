"""The shop of aimed visits: who meets which item, what they type, and what stands beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import numpy as np

from footfall.errors import EmptyLogError
from footfall.personas.persona import Persona
from footfall.progress import console
from footfall.simulator.affinity import affinities
from footfall.simulator.aimed_response import (
    LoneRows,
    ResponseCurve,
    bare,
    fit_appeal_curve,
    fit_lone_appeal,
    fit_response_curve,
    read_lone_rows,
)
from footfall.simulator.aimed_settings import AimedSettings
from footfall.simulator.appeal import Appeal
from footfall.simulator.catalog import Catalog
from footfall.simulator.engines.protocol import Engine, TextAnswer, TextRequest, ask
from footfall.simulator.language import Language, catalog_language
from footfall.simulator.log import Log
from footfall.simulator.log_part import log_part
from footfall.simulator.preference import preferences
from footfall.simulator.prompts import PromptBook
from footfall.simulator.queries import QueryLimits, accept_query
from footfall.simulator.search import open_recommender, open_search
from footfall.simulator.shop_opening import open_prompts
from footfall.simulator.shopper import Page, ShownItem, Visit

__all__ = ["AimedShop", "PlannedMeeting"]

Array = np.ndarray[Any, Any]

#: Tries at a query before a visit is left out.
_TRIES: Final = 3
#: Where a log has no times, visits have one all the same: any, and no feature reads it.
_NO_TIME: Final = datetime(2000, 1, 1)


@dataclass(slots=True)
class PlannedMeeting:
    """One visit to come; the query is filled in later."""

    number: int
    shopper: int
    item: int
    query: str | None = None
    takes: bool = True


class AimedShop:
    """What the visits of one run share; made by :meth:`open`.

    Attributes
    ----------
    curve, appeal:
        What the model's preference and the log's own response model are worth on real rows, where
        responses are drawn.
    part:
        Digest of the training part that the log is, if it is one.
    left_out:
        Visits so far for which no usable words were found.
    """

    def __init__(
        self,
        catalog: Catalog,
        personas: Sequence[Persona],
        engine: Engine,
        settings: AimedSettings,
        prompts: PromptBook,
        language: Language,
        limits: QueryLimits,
        queries: list[str] | None,
        moment: datetime,
        curve: ResponseCurve | None,
        appeal: Appeal,
        part: str | None,
    ) -> None:
        self.catalog, self.personas, self.engine = catalog, personas, engine
        self.settings, self.prompts, self.language, self.limits = (
            settings,
            prompts,
            language,
            limits,
        )
        #: Real queries to take over; empty where the shoppers browse, none where they type.
        self.queries = queries
        self.moment, self.curve, self.appeal, self.part = moment, curve, appeal, part
        self.search = open_search(settings.search, catalog)
        self.recommender = open_recommender(settings.recommender, catalog)
        self.left_out = 0

    @classmethod
    def open(
        cls,
        log: Log,
        personas: Sequence[Persona],
        engine: Engine,
        items: Sequence[str],
        settings: AimedSettings,
    ) -> AimedShop:
        """Read and fit what the visits need; errors as in :meth:`AimedVisits.run`."""
        until = settings.until
        catalog = Catalog.from_log(log, until=until)
        catalog.places(items)
        language = catalog_language(log, until=until)
        queries = _real_queries(log, until)
        way = settings.queries
        if way == "auto":
            way = "typed" if queries else "none"
        if way == "logged" and not queries:
            raise EmptyLogError(
                "The log has no real query to take over.", hint='Set queries = "none".'
            )
        prompts = open_prompts(
            log,
            language,
            until=until,
            count=settings.query_examples,
            seed=settings.seed,
            tuned=engine.identity.tuned,
        )
        curve, appeal = _response(log, catalog, engine, prompts, settings, language)
        return cls(
            catalog,
            personas,
            engine,
            settings,
            prompts,
            language,
            QueryLimits.from_log(log, until=until),
            {"typed": None, "logged": queries, "none": []}[way],
            until or _latest(log) or _NO_TIME,
            curve,
            appeal,
            log_part(log),
        )

    def plan(self, items: Sequence[str]) -> list[PlannedMeeting]:
        """Who meets what: every item, or every shopper, as often as every other."""
        if self.settings.aim == "people":
            return self._plan_people(items)
        rng = np.random.default_rng([self.settings.seed, 11])
        weights = self._suitability(items)
        each = self.settings.visits_per_item
        drawn = self.settings.shoppers_asked if self.settings.shoppers == "model" else 1
        plan = []
        for number, item in enumerate(self.catalog.places(items).tolist()):
            people = rng.choice(len(self.personas), size=(each, drawn), p=weights[number])
            chosen = people[:, 0] if drawn == 1 else self._most_drawn(people, item, rng)
            plan += [
                PlannedMeeting(number * each + turn, int(shopper), item)
                for turn, shopper in enumerate(chosen)
            ]
        return plan

    def _plan_people(self, items: Sequence[str]) -> list[PlannedMeeting]:
        """Every shopper comes for items that they want, popular ones of a category more often."""
        rng = np.random.default_rng([self.settings.seed, 15])
        rows = self.catalog.rows(items)
        places = self.catalog.places(items)
        kinds, kind_of = np.unique(
            np.array([kind or "" for kind in rows["category"].to_pylist()]), return_inverse=True
        )
        demand = 1.0 + rows["popularity"].to_numpy().astype(np.float64)
        demand /= np.bincount(kind_of, weights=demand)[kind_of]
        drawn = self.settings.shoppers_asked if self.settings.shoppers == "model" else 1
        each = self.settings.visits_per_person
        plan = []
        for shopper, person in enumerate(self.personas):
            interest = np.exp(affinities(person, kinds.tolist(), [None] * len(kinds)))
            wanted = interest[kind_of] * demand
            met = rng.choice(len(places), size=(each, drawn), p=wanted / wanted.sum())
            chosen = met[:, 0] if drawn == 1 else self._most_wanted(person, met, places, rng)
            plan += [
                PlannedMeeting(shopper * each + turn, shopper, int(places[item]))
                for turn, item in enumerate(chosen)
            ]
        return plan

    def _most_wanted(
        self, person: Persona, met: Array, places: Array, rng: np.random.Generator
    ) -> Array:
        """Of each row of items one, by how much the model finds the shopper drawn to it."""
        texts = self.catalog.texts()
        unique, back = np.unique(met, return_inverse=True)
        scores = preferences(
            self.engine, self.prompts, [(person, None, texts[places[n]]) for n in unique]
        )
        values = scores[back.reshape(met.shape)]
        chosen = (values + rng.gumbel(size=values.shape)).argmax(axis=1)
        picked: Array = met[np.arange(len(met)), chosen]
        return picked

    def _suitability(self, items: Sequence[str]) -> Array:
        """Chance of each persona for each item, shape (items, personas): interest x activity."""
        rows = self.catalog.rows(items)
        categories = rows["category"].to_pylist()
        kinds = sorted({category or "" for category in categories})
        table = np.array(
            [affinities(person, kinds, [None] * len(kinds)) for person in self.personas]
        )
        activity = np.array([person.activity for person in self.personas])
        suits = np.exp(table.T) * activity / activity.max()
        suits /= suits.sum(axis=1, keepdims=True)
        chosen: Array = suits[[kinds.index(category or "") for category in categories]]
        return chosen

    def _most_drawn(self, people: Array, item: int, rng: np.random.Generator) -> Array:
        """Of each row of people one, by how much the model finds them drawn to the item."""
        text = self.catalog.texts()[item]
        unique, back = np.unique(people, return_inverse=True)
        scores = preferences(
            self.engine, self.prompts, [(self.personas[n], None, text) for n in unique]
        )
        values = scores[back.reshape(people.shape)]
        chosen = (values + rng.gumbel(size=values.shape)).argmax(axis=1)
        picked: Array = people[np.arange(len(people)), chosen]
        return picked

    def visits(self, block: list[PlannedMeeting]) -> Iterator[tuple[PlannedMeeting, Visit]]:
        """The visits of one block; those without usable words are left out."""
        if self.queries is None:
            block = self._type(block)
        elif self.queries:
            for planned in block:
                rng = self._rng(planned, 1)
                planned.query = self.queries[int(rng.integers(len(self.queries)))]
        if self.curve is not None:
            self._respond(block)
        asked = sorted({planned.query for planned in block if planned.query is not None})
        size = self.settings.page_size
        found = dict(zip(asked, self.search.search(asked, limit=size), strict=True))
        for planned in block:
            yield planned, self._visit(planned, found)

    def _type(self, block: list[PlannedMeeting]) -> list[PlannedMeeting]:
        waiting = block
        typed: list[PlannedMeeting] = []
        for attempt in range(_TRIES):
            requests = [
                TextRequest(
                    self.prompts.query(
                        self.personas[planned.shopper], self.catalog.texts()[planned.item]
                    ),
                    temperature=self.settings.temperature,
                    draw=f"{planned.number}/{attempt}",
                )
                for planned in waiting
            ]
            again: list[PlannedMeeting] = []
            for planned, answer in zip(waiting, ask(self.engine, requests), strict=True):
                text = answer.text if isinstance(answer, TextAnswer) else ""
                planned.query = accept_query(
                    text,
                    language=self.language,
                    limits=self.limits,
                    labels=self.prompts.labels(self.personas[planned.shopper]),
                ).query
                (again if planned.query is None else typed).append(planned)
            waiting = again
        self.left_out += len(waiting)
        return sorted(typed, key=lambda planned: planned.number)

    def _respond(self, block: list[PlannedMeeting]) -> None:
        assert self.curve is not None
        texts = self.catalog.texts()
        asked = [
            (bare(self.personas[planned.shopper]), planned.query, texts[planned.item])
            for planned in block
        ]
        appeals = self.appeal.log_odds_many(
            [person for person, _, _ in asked],
            [query for _, query, _ in asked],
            [[row] for row in self._rows_of(block)],
        )
        chances = self.curve.chance(
            preferences(self.engine, self.prompts, asked),
            np.concatenate([np.zeros(0), *appeals]),
        )
        for planned, chance in zip(block, chances, strict=True):
            planned.takes = bool(self._rng(planned, 2).random() < chance)

    def _rows_of(self, block: list[PlannedMeeting]) -> list[dict[str, Any]]:
        """The catalogue's row of each planned item."""
        ids = [str(self.catalog.item_ids[planned.item]) for planned in block]
        rows: list[dict[str, Any]] = self.catalog.rows(ids).to_pylist()
        return rows

    def _visit(self, planned: PlannedMeeting, found: dict[str, list[str]]) -> Visit:
        item = str(self.catalog.item_ids[planned.item])
        rng = self._rng(planned, 3)
        started = self.moment - timedelta(seconds=float(rng.uniform(3600, 7 * 86400)))
        if self.curve is not None:
            shown, answered_by = [item], "aimed"
        else:
            shown, answered_by = self._page(planned, item, found, rng)
        page = Page(1, planned.query, answered_by, 1, started)
        prices = self.catalog.rows(shown)["price"].to_pylist()
        for position, (item_id, price) in enumerate(zip(shown, prices, strict=True), start=1):
            entry = ShownItem(item_id, position, price, None, started)
            if item_id == item and planned.takes:
                entry.clicked_at = started + timedelta(seconds=4.0 * position)
                if self.settings.label == "purchased":
                    entry.carted, entry.purchased_at = True, entry.clicked_at
            page.items.append(entry)
        taken = "bought" if page.bought else "left"
        return Visit(started, started + timedelta(minutes=1), taken, [page])

    def _page(
        self,
        planned: PlannedMeeting,
        item: str,
        found: dict[str, list[str]],
        rng: np.random.Generator,
    ) -> tuple[list[str], str]:
        """The item among what the shop answers: where the shop puts it, or anywhere."""
        size = self.settings.page_size
        if planned.query is None:
            answered_by = self.recommender.name
            shown = self.recommender.recommend([self.personas[planned.shopper]], limit=size)[0]
        else:
            answered_by, shown = self.search.name, found[planned.query]
        shown = [other for other in dict.fromkeys(shown) if other in self.catalog][:size]
        if item not in shown:
            shown = shown[: size - 1]
            shown.insert(int(rng.integers(len(shown) + 1)), item)
        return shown, f"{answered_by}, with the aimed item"

    def _rng(self, planned: PlannedMeeting, use: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, 12, use, planned.number])


def _response(
    log: Log,
    catalog: Catalog,
    engine: Engine,
    prompts: PromptBook,
    settings: AimedSettings,
    language: Language,
) -> tuple[ResponseCurve | None, Appeal]:
    """What draws the responses; no curve where everybody takes what they came for."""
    if settings.response == "need":
        return None, Appeal()
    locale = language.default_locale()
    drawn: Callable[[Sequence[str]], LoneRows]
    if settings.response == "model":
        appeal, beside = Appeal(), None
        drawn = partial(
            read_lone_rows,
            log,
            label=settings.label,
            rows=settings.scored_rows,
            until=settings.until,
            locale=locale,
            seed=settings.seed,
        )
    else:
        fitted = fit_lone_appeal(
            log,
            catalog,
            label=settings.label,
            until=settings.until,
            locale=locale,
            seed=settings.seed,
        )
        appeal, beside = fitted.model, fit_appeal_curve(fitted.rows)
        drawn = partial(fitted.first, settings.scored_rows)
    # A tuned model knows the answers of the people that it was tuned on.
    unseen = engine.identity.unseen_people
    rows = drawn(unseen)
    if unseen and not rows.telling():
        console.print(
            "Too few responses of people that the model was not tuned on: its preference is "
            "weighed on all real rows, which flatters it."
        )
        rows = drawn(())
    return fit_response_curve(engine, prompts, rows, appeal=beside), appeal


def _real_queries(log: Log, until: datetime | None) -> list[str]:
    rows = log.query(
        "SELECT query FROM searches WHERE origin = 'real' AND nullif(trim(query), '') IS NOT NULL "
        "AND ($until::TIMESTAMP IS NULL OR searched_at < $until::TIMESTAMP) ORDER BY search_id",
        {"until": until},
    )
    queries: list[str] = rows["query"].to_pylist()
    return queries


def _latest(log: Log) -> datetime | None:
    moment: datetime | None = log.scalar(
        "SELECT max(started_at) FROM sessions WHERE origin = 'real'"
    )
    return moment
