"""Shoppers who come for a named item: who they are, what they type, what stands beside it.

A simulated crowd meets a new item rarely, because few need what nobody has bought. To fill a gap
the other way round is cheaper: take the item, ask who would come for it and with which words. A
visit is one request then, and no page has to be weighed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, Final

import numpy as np

from footfall.errors import CatalogueError, EmptyLogError, PersonaError
from footfall.personas.persona import Persona
from footfall.progress import console, track
from footfall.simulator.affinity import affinities
from footfall.simulator.aimed_response import ResponseCurve, fit_response_curve
from footfall.simulator.aimed_settings import AimedSettings, AimedSummary
from footfall.simulator.catalog import Catalog
from footfall.simulator.engines.protocol import Engine, TextAnswer, TextRequest, ask
from footfall.simulator.language import Language, catalog_language
from footfall.simulator.log import Log
from footfall.simulator.log_part import log_part
from footfall.simulator.preference import preferences
from footfall.simulator.prompts import PromptBook
from footfall.simulator.queries import QueryLimits, accept_query
from footfall.simulator.search import open_recommender, open_search
from footfall.simulator.session_rows import session_key, session_number, visit_rows
from footfall.simulator.shop_opening import open_prompts
from footfall.simulator.shopper import Page, ShownItem, Visit
from footfall.simulator.simulation import user_rows
from footfall.simulator.writer import LogWriter, committed_sessions

__all__ = ["AimedVisits"]

Array = np.ndarray[Any, Any]

#: Tries at a query before a visit is left out.
_TRIES: Final = 3
#: Where a log has no times, visits have one all the same: any, and no feature reads it.
_NO_TIME: Final = datetime(2000, 1, 1)


@dataclass(slots=True)
class _Planned:
    """One visit to come; the query is filled in later."""

    number: int
    shopper: int
    item: int
    query: str | None = None
    takes: bool = True


class AimedVisits:
    """Writes visits to the log in which a shopper meets one of ``items``.

    Parameters
    ----------
    log_path:
        The log with catalogue and real rows (its training part); visits are added to it.
    personas:
        Who may come.
    engine:
        The language model.
    items:
        Item ids to aim at.
    """

    def __init__(
        self,
        log_path: str | Path,
        personas: Sequence[Persona],
        engine: Engine,
        items: Sequence[str],
        settings: AimedSettings | None = None,
    ) -> None:
        if not personas:
            raise PersonaError("There are no personas.", hint="Make some with `footfall personas`.")
        if not items:
            raise CatalogueError("There is no item to aim at.", hint="Name at least one.")
        self.log_path = Path(log_path)
        self.personas = list(personas)
        self.engine = engine
        self.items = sorted(set(items))
        self.settings = settings or AimedSettings()
        self.run_id = self._identify()

    def run(self) -> AimedSummary:
        """Make every visit that the log does not hold yet.

        Raises
        ------
        CatalogueError
            If an item is not in the log.
        EmptyLogError
            If real queries are to be taken over and there are none.
        EngineUnavailableError
            If the engine dies; everything committed so far is kept.
        """
        began = monotonic()
        settings = self.settings
        with Log.open(self.log_path, read_only=False) as log:
            shop = _AimedShop.open(log, self.personas, self.engine, self.items, settings)
            self._start_run(log, shop)
            plan = shop.plan(self.items)
            keys = committed_sessions(log, self.run_id)
            done = {session_number(key) for key in keys}
            todo = [visit for visit in plan if visit.number not in done]
            console.print(
                f"Run [bold]{self.run_id}[/bold]: {len(todo):,} visits aimed at "
                f"{len(self.items):,} items with {self.engine.identity.model}."
            )
            tally = self._visit(log, shop, todo)
            responses = log.scalar(
                f"SELECT count(*) FROM impressions WHERE origin = $run AND {settings.label}",
                {"run": self.run_id},
            )
        return AimedSummary(
            run_id=self.run_id,
            state="finished",
            visits=len(plan),
            already_done=len(done),
            without_query=shop.left_out,
            responses=int(responses),
            prompt_tokens=tally[0],
            output_tokens=tally[1],
            seconds=monotonic() - began,
            weight=shop.curve.slope if shop.curve else None,
        )

    def _visit(self, log: Log, shop: _AimedShop, todo: list[_Planned]) -> tuple[int, int]:
        settings = self.settings
        state = "failed"
        writer = LogWriter(log, sessions_per_commit=settings.visits_per_commit)
        try:
            with track("Aimed visits", total=len(todo)) as progress:
                for block in _blocks(todo, settings.visits_per_commit):
                    for planned, visit in shop.visits(block):
                        writer.submit(
                            visit_rows(
                                visit,
                                session_id=session_key(self.run_id, planned.number),
                                user_id=self._user(planned.shopper),
                                origin=self.run_id,
                            )
                        )
                    progress.advance(len(block))
            writer.flush()
            state = "finished"
        except KeyboardInterrupt:
            state = "interrupted"
            raise
        finally:
            try:
                writer.close()
            finally:
                log.end_run(self.run_id, state)
        return shop.prompt_tokens, shop.output_tokens

    def _user(self, shopper: int) -> str:
        return f"{self.run_id}/{self.personas[shopper].persona_id}"

    def _identify(self) -> str:
        identity = self.engine.identity
        told = [
            self.settings.model_dump_json(exclude={"visits_per_commit"}),
            identity.model,
            identity.model_hash,
            *self.items,
        ]
        digest = hashlib.sha256("\n".join(told).encode())
        for persona in self.personas:
            digest.update(f"\n{persona.model_dump_json()}".encode())
        return f"aimed-{digest.hexdigest()[:12]}"

    def _start_run(self, log: Log, shop: _AimedShop) -> None:
        identity, until = self.engine.identity, self.settings.until
        log.start_run(
            self.run_id,
            "aimed",
            {
                "settings": json.loads(self.settings.model_dump_json()),
                "engine": identity.kind,
                "items": self.items,
                "curve": None if shop.curve is None else shop.curve.model_dump(mode="json"),
                "knowledge_until": until.isoformat() if until else None,
                "knowledge_part": shop.part,
            },
            seed=self.settings.seed,
            model=identity.model,
            model_hash=identity.model_hash,
        )
        log.append("users", user_rows(self.run_id, self.personas))


class _AimedShop:
    """What the visits of one run share."""

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
        self.moment, self.curve, self.part = moment, curve, part
        self.search = open_search(settings.search, catalog)
        self.recommender = open_recommender(settings.recommender, catalog)
        self.left_out = self.prompt_tokens = self.output_tokens = 0

    @classmethod
    def open(
        cls,
        log: Log,
        personas: Sequence[Persona],
        engine: Engine,
        items: Sequence[str],
        settings: AimedSettings,
    ) -> _AimedShop:
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
        curve = None
        if settings.response == "model":
            curve = fit_response_curve(
                log,
                engine,
                prompts,
                label=settings.label,
                rows=settings.scored_rows,
                until=until,
                locale=language.default_locale(),
                seed=settings.seed,
            )
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
            log_part(log),
        )

    def plan(self, items: Sequence[str]) -> list[_Planned]:
        """Who meets what: every item as often as every other."""
        rng = np.random.default_rng([self.settings.seed, 11])
        weights = self._suitability(items)
        each = self.settings.visits_per_item
        drawn = self.settings.shoppers_asked if self.settings.shoppers == "model" else 1
        plan = []
        for number, item in enumerate(self.catalog.places(items).tolist()):
            people = rng.choice(len(self.personas), size=(each, drawn), p=weights[number])
            chosen = people[:, 0] if drawn == 1 else self._most_drawn(people, item, rng)
            plan += [
                _Planned(number * each + turn, int(shopper), item)
                for turn, shopper in enumerate(chosen)
            ]
        return plan

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

    def visits(self, block: list[_Planned]) -> Iterator[tuple[_Planned, Visit]]:
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

    def _type(self, block: list[_Planned]) -> list[_Planned]:
        waiting = block
        typed: list[_Planned] = []
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
            again: list[_Planned] = []
            for planned, answer in zip(waiting, ask(self.engine, requests), strict=True):
                self.prompt_tokens += answer.prompt_tokens
                self.output_tokens += answer.output_tokens
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

    def _respond(self, block: list[_Planned]) -> None:
        assert self.curve is not None
        texts = self.catalog.texts()
        asked = [
            (_bare(self.personas[planned.shopper]), planned.query, texts[planned.item])
            for planned in block
        ]
        chances = self.curve.chance(preferences(self.engine, self.prompts, asked))
        for planned, chance in zip(block, chances, strict=True):
            planned.takes = bool(self._rng(planned, 2).random() < chance)

    def _visit(self, planned: _Planned, found: dict[str, list[str]]) -> Visit:
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
        planned: _Planned,
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

    def _rng(self, planned: _Planned, use: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, 12, use, planned.number])


def _bare(persona: Persona) -> Persona:
    """The persona as the response curve's people are: told by demographics alone."""
    return persona.model_copy(update={"history": (), "interests": {}})


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


def _blocks(visits: list[_Planned], size: int) -> Iterator[list[_Planned]]:
    for start in range(0, len(visits), size):
        yield [replace(visit) for visit in visits[start : start + size]]
