"""One shopper's visit as a state machine that never waits.

A visit is a generator: it yields engine requests and is resumed with their answers, so that many
visits can share one engine. All chance comes from the visit's own generator of random numbers;
the same answers give the same visit.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from footfall.simulator.behaviour import Behaviour
from footfall.simulator.catalog import Catalog
from footfall.simulator.click_chance import SlateChances, slate_chances
from footfall.simulator.engines.protocol import Answer, Request, TextAnswer, TextRequest
from footfall.simulator.language import Language
from footfall.simulator.memory import Memory, PastVisit
from footfall.simulator.needs import Need, NeedBook
from footfall.simulator.prompts import PromptBook
from footfall.simulator.queries import QueryLimits, accept_query
from footfall.simulator.reformulation import broaden
from footfall.simulator.rhythm import Rhythm
from footfall.simulator.scoring import (
    Correction,
    ScoringKind,
    SlateScores,
    ask_scores,
    read_scores,
)
from footfall.simulator.search.protocol import Recommender, SearchEngine
from footfall.simulator.targets.protocol import Failure
from footfall.simulator.targets.visited import VisitedTarget
from footfall.simulator.typing_slips import TypingSlips

if TYPE_CHECKING:
    from footfall.simulator.appeal import Appeal

__all__ = ["Page", "Shop", "ShownItem", "Steps", "Visit", "visit"]

Steps: TypeAlias = Generator[list[Request], Sequence[Answer], "Visit"]

#: Mean seconds of looking at one item and of typing a query: assumed, no log records them.
_SECONDS_PER_LOOK = 4.0
_SECONDS_PER_QUERY = 12.0
#: Tries at a query before the visit ends as ``no query``.
_QUERY_TRIES = 2


@dataclass(frozen=True, slots=True)
class Shop:
    """What all visits share: the shop's parts, and how people behave in it.

    ``target`` answers all pages where it is given, instead of the search engine and recommender.
    """

    catalog: Catalog
    search: SearchEngine
    recommender: Recommender
    needs: NeedBook
    prompts: PromptBook
    behaviour: Behaviour
    rhythm: Rhythm
    slips: TypingSlips
    language: Language
    limits: QueryLimits = field(default_factory=QueryLimits)
    scoring: ScoringKind = "item"
    correction: Correction | None = None
    appeal: Appeal | None = None
    page_size: int = 10
    most_pages: int = 4
    #: Mean of the population's patience: who has it leaves at the fitted rate.
    mean_patience: float = 2.0
    target: VisitedTarget | None = None
    #: Items that cannot be bought: shoppers may click them, and no more.
    unavailable: frozenset[str] = frozenset()


@dataclass(slots=True)
class ShownItem:
    """One row of a page; times are null for what did not happen."""

    item_id: str
    position: int
    price: float | None
    score: float | None
    shown_at: datetime
    clicked_at: datetime | None = None
    carted: bool = False
    purchased_at: datetime | None = None


@dataclass(slots=True)
class Page:
    """One page of results; ``query`` is null when browsing.

    ``chances`` are what the items' clicks were drawn from, ``intent`` included; ``needed`` is the
    item in mind. ``failure`` and ``seconds`` are those of a target that answered. None of these is
    stored in the log.
    """

    step: int
    query: str | None
    answered_by: str
    page: int
    searched_at: datetime
    items: list[ShownItem] = field(default_factory=list)
    chances: SlateChances | None = field(default=None, compare=False)
    intent: float = field(default=0.0, compare=False)
    needed: str | None = field(default=None, compare=False)
    failure: Failure | None = field(default=None, compare=False)
    seconds: float = field(default=0.0, compare=False)

    @property
    def clicked(self) -> bool:
        """Whether anything on the page was clicked."""
        return any(item.clicked_at for item in self.items)

    @property
    def bought(self) -> bool:
        """Whether anything on the page was bought."""
        return any(item.purchased_at for item in self.items)


@dataclass(slots=True)
class Visit:
    """A whole session. ``unusable`` counts answers that could not be used, of ``asked``.

    ``vanished`` counts items that a search engine or recommender showed and the catalogue lacks.
    """

    started_at: datetime
    ended_at: datetime
    ended_by: str = "left"
    pages: list[Page] = field(default_factory=list)
    asked: int = 0
    unusable: int = 0
    vanished: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0

    def past(self) -> PastVisit:
        """What a shopper remembers of it."""
        items = [item for page in self.pages for item in page.items]
        return PastVisit(
            started_at=self.started_at,
            queries=tuple(page.query for page in self.pages if page.query is not None),
            shown=tuple(item.item_id for item in items),
            clicked=tuple(item.item_id for item in items if item.clicked_at),
            bought=tuple(item.item_id for item in items if item.purchased_at),
            ended_by=self.ended_by,
        )


def visit(
    shop: Shop,
    memory: Memory,
    rng: np.random.Generator,
    started_at: datetime,
    key: str,
    *,
    inclination: float = 0.0,
) -> Steps:
    """Run one visit of the shopper with this ``memory``.

    ``key`` makes the visit's drawn texts distinct from those of all other visits; ``inclination``
    is how much more than others the shopper responds, on all visits, in standard deviations.
    """
    return (yield from _Visitor(shop, memory, rng, started_at, key, inclination).run())


class _Visitor:
    def __init__(
        self,
        shop: Shop,
        memory: Memory,
        rng: np.random.Generator,
        started_at: datetime,
        key: str,
        inclination: float,
    ) -> None:
        self.shop = shop
        self.memory = memory
        self.persona = memory.persona_at(started_at)
        self.rng = rng
        self.clock = started_at
        self.key = key
        self.needed: set[str] = set()
        self.need = ""
        #: Queries of this visit that served the need in mind, as they were typed.
        self.tried: list[str] = []
        self.record = Visit(started_at, started_at)
        self.intent = shop.behaviour.intent(inclination, rng.normal())

    def run(self) -> Steps:
        browsing = self.rng.random() < self.shop.behaviour.browsing.value
        need = self._need()
        query: str | None = None
        number = 1
        while True:
            if not browsing and number == 1:
                query, browsing = yield from self._write_query(need)
                if query is None and not browsing:
                    return self._end("no query")
            page = yield from self._read_page(query, number)
            if self._leaves(page):
                return self._end("bought" if page.bought else "left")
            if len(self.record.pages) >= self.shop.most_pages:
                return self._end("out of patience")
            if page.items and not page.bought and self.rng.random() < self._turning():
                number += 1
                continue
            number = 1
            if page.bought or browsing or self.rng.random() < self.shop.behaviour.new_need.value:
                need, query, browsing, self.tried = self._need(), None, False, []

    def _leaves(self, page: Page) -> bool:
        chance = self.shop.behaviour.leaving(
            self.persona.patience / self.shop.mean_patience,
            clicked=page.clicked,
            bought=page.bought,
        )
        return bool(self.rng.random() < chance)

    def _turning(self) -> float:
        return self.shop.behaviour.next_page.value

    def _need(self) -> Need:
        need = self.shop.needs.draw(
            self.persona,
            self.rng,
            memory=self.memory,
            moment=self.clock,
            rhythm=self.shop.rhythm,
            avoid=frozenset(self.needed),
        )
        self.needed.add(need.item_id)
        self.need = need.item_id
        return need

    def _write_query(
        self, need: Need
    ) -> Generator[list[Request], Sequence[Answer], tuple[str | None, bool]]:
        """A query and whether the shopper rather browses; neither where no words were found."""
        prompt = self.shop.prompts.query(self.persona, need.wanted, tried=self.tried)
        for attempt in range(_QUERY_TRIES):
            draw = f"{self.key}/{len(self.record.pages)}/{attempt}"
            answers = yield [TextRequest(prompt, draw=draw)]
            answer = answers[0]
            self._count(answer)
            self.clock += timedelta(seconds=float(self.rng.exponential(_SECONDS_PER_QUERY)))
            text = answer.text if isinstance(answer, TextAnswer) else ""
            verdict = accept_query(
                text,
                tried=self.tried,
                language=self.shop.language,
                limits=self.shop.limits,
                labels=self.shop.prompts.labels(self.persona),
            )
            if verdict.kind == "browse":
                return None, True
            if verdict.query is not None:
                return self._typed(verdict.query), False
            # Words that were tried before are no nonsense, only of no use a second time.
            self.record.unusable += verdict.reason != "tried"
        if not self.tried:
            return None, False
        words = broaden(self.tried[-1], self.tried, need.wanted, category=need.category)
        return (None if words is None else self._typed(words)), False

    def _typed(self, query: str) -> str:
        self.tried.append(query)
        return self.shop.slips.apply(query, self.rng, language=self.shop.language)

    def _read_page(
        self, query: str | None, number: int
    ) -> Generator[list[Request], Sequence[Answer], Page]:
        page = Page(len(self.record.pages) + 1, query, "", number, self.clock)
        page.needed, page.intent = self.need, self.intent
        self.record.pages.append(page)
        size = self.shop.page_size
        found = self._ask(page, size, (number - 1) * size)
        known = [item_id for item_id in dict.fromkeys(found) if item_id in self.shop.catalog]
        self.record.vanished += len(set(found)) - len(known)
        rows = self.shop.catalog.rows(known[:size]).to_pylist()
        if rows:
            scores = yield from self._score(query, rows)
            self._react(page, rows, scores)
        return page

    def _ask(self, page: Page, limit: int, offset: int) -> Sequence[str]:
        """Ids that the shop answers with; the page learns who answered, and how."""
        shop = self.shop
        if shop.target is not None:
            answered = shop.target.page(
                self.persona,
                self.memory.taken(),
                page.query,
                self.clock,
                limit=limit,
                offset=offset,
            )
            page.answered_by = shop.target.name
            page.failure, page.seconds = answered.failure, answered.seconds
            return answered.item_ids
        if page.query is None:
            page.answered_by = shop.recommender.name
            return shop.recommender.recommend([self.persona], limit=limit, offset=offset)[0]
        page.answered_by = shop.search.name
        return shop.search.search([page.query], limit=limit, offset=offset)[0]

    def _score(
        self, query: str | None, rows: list[dict[str, Any]]
    ) -> Generator[list[Request], Sequence[Answer], SlateScores]:
        texts = [row["text"] for row in rows]
        shop = self.shop
        call = ask_scores(shop.prompts, self.persona, query, texts, shop.scoring, self.rng)
        answers = yield list(call.requests)
        for answer in answers:
            self._count(answer)
        scores = read_scores(call, answers, shop.correction)
        self.record.unusable += scores.unusable
        return scores

    def _react(self, page: Page, rows: list[dict[str, Any]], scores: SlateScores) -> None:
        behaviour = self.shop.behaviour
        page.chances = slate_chances(
            behaviour,
            self.persona,
            page.query,
            rows,
            scores,
            appeal=self.shop.appeal,
            exposures=self.memory.exposures([row["item_id"] for row in rows]),
            fatigue=self.shop.rhythm.fatigue.value,
            intent=self.intent,
        )
        looks, clicks = page.chances.looks, page.chances.clicks
        for index, row in enumerate(rows):
            look, click, cart, purchase = self.rng.random(4)
            score = float(scores.log_odds[index])
            shown = ShownItem(
                item_id=row["item_id"],
                position=index + 1,
                price=row["price"],
                score=score if np.isfinite(score) else None,
                shown_at=page.searched_at,
            )
            page.items.append(shown)
            if look >= looks[index]:
                continue
            self.clock += timedelta(seconds=float(self.rng.exponential(_SECONDS_PER_LOOK)))
            if click >= clicks[index]:
                continue
            shown.clicked_at = self.clock
            if shown.item_id in self.shop.unavailable:
                continue
            shown.carted = bool(cart < behaviour.cart_after_click.value)
            if shown.carted and purchase < behaviour.purchase_after_cart.value:
                shown.purchased_at = self.clock

    def _count(self, answer: Answer) -> None:
        self.record.asked += 1
        self.record.prompt_tokens += answer.prompt_tokens
        self.record.output_tokens += answer.output_tokens

    def _end(self, ended_by: str) -> Visit:
        self.record.ended_by = ended_by
        self.record.ended_at = self.clock
        return self.record
