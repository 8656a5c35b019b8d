"""One shopper's visit as a state machine that never waits.

A visit is a generator: it yields engine requests and is resumed with their answers, so that many
visits can share one engine. All chance comes from the visit's own generator of random numbers;
the same answers give the same visit.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import numpy as np

from footfall.personas.persona import Persona
from footfall.simulator.affinity import affinities
from footfall.simulator.behaviour import Behaviour, centred, popularity_deviation
from footfall.simulator.catalog import Catalog
from footfall.simulator.engines.protocol import (
    Answer,
    ChoiceAnswer,
    ChoiceRequest,
    Request,
    TextAnswer,
    TextRequest,
)
from footfall.simulator.needs import Need, NeedBook
from footfall.simulator.prompts import PromptBook
from footfall.simulator.search.protocol import Recommender, SearchEngine

__all__ = ["Page", "Shop", "ShownItem", "Visit", "log_odds", "visit"]

Steps: TypeAlias = Generator[list[Request], Sequence[Answer], "Visit"]

#: Mean seconds of looking at one item and of typing a query: assumed, no log records them.
_SECONDS_PER_LOOK = 4.0
_SECONDS_PER_QUERY = 12.0
#: Tries at a query before the visit ends as ``no query``.
_QUERY_TRIES = 2
_LONGEST_QUERY = 120


@dataclass(frozen=True, slots=True)
class Shop:
    """What all visits share."""

    catalog: Catalog
    search: SearchEngine
    recommender: Recommender
    needs: NeedBook
    prompts: PromptBook
    behaviour: Behaviour
    page_size: int = 10
    most_pages: int = 4
    browsing_share: float = 0.1


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
    """One page of results; ``query`` is null when browsing."""

    step: int
    query: str | None
    answered_by: str
    page: int
    searched_at: datetime
    items: list[ShownItem] = field(default_factory=list)


@dataclass(slots=True)
class Visit:
    """A whole session. ``unusable`` counts answers that could not be used, of ``asked``."""

    started_at: datetime
    ended_at: datetime
    ended_by: str = "left"
    pages: list[Page] = field(default_factory=list)
    asked: int = 0
    unusable: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0


def log_odds(answer: ChoiceAnswer) -> float:
    """Log-odds of the first option against all others."""
    first = min(answer.log_probabilities[0], -1e-9)
    return float(first - np.log(-np.expm1(first)))


def visit(
    shop: Shop, persona: Persona, rng: np.random.Generator, started_at: datetime, key: str
) -> Steps:
    """Run one visit of ``persona``; ``key`` makes its requests distinct in a recording."""
    return (yield from _Visitor(shop, persona, rng, started_at, key).run())


class _Visitor:
    def __init__(
        self,
        shop: Shop,
        persona: Persona,
        rng: np.random.Generator,
        started_at: datetime,
        key: str,
    ) -> None:
        self.shop = shop
        self.persona = persona
        self.rng = rng
        self.clock = started_at
        self.key = key
        self.record = Visit(started_at, started_at)

    def run(self) -> Steps:
        browsing = self.rng.random() < self.shop.browsing_share
        need = self.shop.needs.draw(self.persona, self.rng)
        query: str | None = None
        page_number = 1
        while True:
            if not browsing and page_number == 1:
                query = yield from self._write_query(need)
                if query is None:
                    return self._end("no query")
            page = yield from self._read_page(query, page_number)
            bought = any(item.purchased_at for item in page.items)
            if self.rng.random() < self.shop.behaviour.leaving(
                self.persona.patience, bought=bought
            ):
                return self._end("bought" if bought else "left")
            if len(self.record.pages) >= self.shop.most_pages:
                return self._end("out of patience")
            if page.items and not bought and self.rng.random() < self._turning():
                page_number += 1
                continue
            page_number = 1
            if bought or browsing:
                browsing = False
                need = self.shop.needs.draw(self.persona, self.rng)

    def _turning(self) -> float:
        return self.shop.behaviour.next_page.value

    def _write_query(self, need: Need) -> Generator[list[Request], Sequence[Answer], str | None]:
        prompt = self.shop.prompts.query(self.persona, need.wanted)
        for attempt in range(_QUERY_TRIES):
            draw = f"{self.key}/{len(self.record.pages)}/{attempt}"
            answers = yield [TextRequest(prompt, draw=draw)]
            answer = answers[0]
            self._count(answer)
            self.clock += timedelta(seconds=float(self.rng.exponential(_SECONDS_PER_QUERY)))
            text = answer.text if isinstance(answer, TextAnswer) else ""
            text = " ".join(text.split())[:_LONGEST_QUERY]
            if any(character.isalnum() for character in text):
                return text
            self.record.unusable += 1
        return None

    def _read_page(
        self, query: str | None, number: int
    ) -> Generator[list[Request], Sequence[Answer], Page]:
        size = self.shop.page_size
        offset = (number - 1) * size
        if query is None:
            answered_by = self.shop.recommender.name
            found = self.shop.recommender.recommend([self.persona], limit=size, offset=offset)[0]
        else:
            answered_by = self.shop.search.name
            found = self.shop.search.search([query], limit=size, offset=offset)[0]
        page = Page(len(self.record.pages) + 1, query, answered_by, number, self.clock)
        self.record.pages.append(page)
        rows = self.shop.catalog.rows(found).to_pylist()
        if rows:
            scores = yield from self._score(query, rows)
            self._react(page, rows, scores)
        return page

    def _score(
        self, query: str | None, rows: list[dict[str, Any]]
    ) -> Generator[list[Request], Sequence[Answer], list[float]]:
        prompts, options = self.shop.prompts.choices(
            self.persona, query, [row["text"] for row in rows]
        )
        answers = yield [ChoiceRequest(prompt, options) for prompt in prompts]
        scores = []
        for answer in answers:
            self._count(answer)
            if isinstance(answer, ChoiceAnswer) and answer.usable:
                scores.append(log_odds(answer))
            else:
                self.record.unusable += 1
                scores.append(float("nan"))
        return scores

    def _react(self, page: Page, rows: list[dict[str, Any]], scores: list[float]) -> None:
        behaviour = self.shop.behaviour
        prices = [row["price"] for row in rows]
        affinity = affinities(self.persona, [row["category"] for row in rows], prices)
        popularity = popularity_deviation(
            np.asarray([row["popularity"] for row in rows], dtype=np.float64)
        )
        chances = behaviour.click_probabilities(
            centred(np.asarray(scores)), centred(affinity), popularity
        )
        looks = behaviour.looks(len(rows))
        for index, row in enumerate(rows):
            look, click, cart, purchase = self.rng.random(4)
            shown = ShownItem(
                item_id=row["item_id"],
                position=index + 1,
                price=prices[index],
                score=scores[index] if np.isfinite(scores[index]) else None,
                shown_at=page.searched_at,
            )
            page.items.append(shown)
            if look >= looks[index]:
                continue
            self.clock += timedelta(seconds=float(self.rng.exponential(_SECONDS_PER_LOOK)))
            if click >= chances[index]:
                continue
            shown.clicked_at = self.clock
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
