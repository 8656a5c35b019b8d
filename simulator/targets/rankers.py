"""A scikit-learn style model as a recommender: candidates, features of each, its order of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from footfall.simulator.targets.protocol import PageRequest
from footfall.simulator.targets.shop_items import ShopItems
from footfall.simulator.targets.words import WordsTarget

__all__ = ["FEATURES", "RankerTarget"]

#: Columns of a ranker's features, in their order.
FEATURES: Final = (
    "log_popularity",
    "log_price",
    "price_known",
    "category_share",
    "brand_share",
    "taken_before",
    "word_rank",
    "queried",
)
#: Rows without a response for each response, where the events know responses only.
_NEGATIVES: Final = 4
#: Rows that a model is fitted on at most, spread evenly over the events.
_MOST_ROWS: Final = 200_000

_EVENTS = """
SELECT shopper_id, item_id, query, at,
       (coalesce(clicked, false) OR coalesce(purchased, false)) AS response
FROM events WHERE shopper_id IS NOT NULL ORDER BY shopper_id, at, item_id
"""


class RankerTarget:
    """Any object with ``fit(X, y)`` and ``predict_proba``, ``decision_function`` or ``predict``.

    Candidates of a page are what BM25 finds for its query and, for browsing, the most popular
    items and those of the shopper's own categories. They are ordered by the model's score of these
    features of shopper and item, float64 of shape (candidates, 8):

    ``log_popularity``
        log(1 + how often the item was taken).
    ``log_price``, ``price_known``
        Natural log of the price, 0 where unknown; and whether it is known.
    ``category_share``, ``brand_share``
        Share of the shopper's history in the item's category and of its brand.
    ``taken_before``
        Whether the item is in the history.
    ``word_rank``, ``queried``
        1 / (1 + its place in BM25's answer), 0 where that does not hold it; and whether there is
        a query.

    Where the events hold responses only, four items drawn by popularity stand for what was not
    taken, for each response.

    Parameters
    ----------
    model:
        The model. It is fitted by :meth:`fit`.
    name:
        What its pages are called by.
    candidates:
        How many are scored for a page, at least.
    seed:
        Of the rows that stand for what was not taken.
    """

    def __init__(
        self, model: Any, *, name: str | None = None, candidates: int = 200, seed: int = 0
    ) -> None:
        self.model = model
        self.name = name or type(model).__name__
        self.candidates = candidates
        self.seed = seed
        self._shop = ShopItems.none()
        self._words = WordsTarget()
        self._learned = False

    def fit(self, items: pa.Table, events: pa.Table) -> RankerTarget:
        """Fit the model on the events; without any response it stays unused."""
        self._shop = ShopItems.of(items, events)
        self._words.fit(items, events)
        prices = items["price"].to_numpy(zero_copy_only=False).astype(np.float64)
        known = np.isfinite(prices) & (prices > 0)
        self._prices = np.where(known, np.log(np.where(known, prices, 1.0)), 0.0)
        self._priced = known.astype(np.float64)
        self._categories = _codes(items["category"].to_pylist())
        self._brands = _codes(items["brand"].to_pylist())
        self._by_category: dict[int, npt.NDArray[np.int64]] = {}
        features, labels = self._training_rows(events)
        self._learned = len(np.unique(labels)) == 2
        if self._learned:
            self.model.fit(features, labels)
        return self

    def _training_rows(
        self, events: pa.Table
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        with duckdb.connect() as connection:
            connection.register("events", events)
            rows = connection.sql(_EVENTS).to_arrow_table()
        step = max(1, rows.num_rows // _MOST_ROWS)
        rows = rows.take(np.arange(0, rows.num_rows, step))
        rng = np.random.default_rng(self.seed)
        features, labels = [], []
        held: list[int] = []
        shopper = None
        told = (rows[name].to_pylist() for name in ("shopper_id", "item_id", "query", "response"))
        only_responses = bool(np.all(rows["response"].to_numpy(zero_copy_only=False)))
        chances = self._shop.popularity + 1.0
        chances /= chances.sum()
        for who, item_id, query, response in zip(*told, strict=True):
            if who != shopper:
                shopper, held = who, []
            place = self._shop.place.get(item_id)
            if place is None:
                continue
            shown = [place]
            if only_responses:
                shown += rng.choice(len(chances), size=_NEGATIVES, p=chances).tolist()
            features.append(self._features(np.array(shown), held[-100:], query, {}))
            labels += [int(response), *[0] * (len(shown) - 1)]
            if response:
                held.append(place)
        if not features:
            return np.zeros((0, len(FEATURES))), np.zeros(0, np.int64)
        return np.concatenate(features), np.array(labels, np.int64)

    def _features(
        self,
        places: npt.NDArray[np.int64],
        history: Sequence[int],
        query: str | None,
        ranks: dict[int, int],
    ) -> npt.NDArray[np.float64]:
        held = np.asarray(history, np.int64)
        count = max(1, len(held))
        categories, brands = self._categories[held], self._brands[held]
        own = self._categories[places]
        brand = self._brands[places]
        queried = np.full(len(places), float(bool(query)))
        word_rank = [1.0 / (1 + ranks[p]) if p in ranks else 0.0 for p in places.tolist()]
        return np.column_stack(
            [
                np.log1p(self._shop.popularity[places]),
                self._prices[places],
                self._priced[places],
                (own[:, None] == categories).sum(axis=1) / count,
                (brand[:, None] == brands).sum(axis=1) / count,
                np.isin(places, held).astype(np.float64),
                word_rank,
                queried,
            ]
        )

    def answer(self, requests: Sequence[PageRequest]) -> list[list[str]]:
        """One page a request; the model scores the candidates of all of them at once."""
        self._shop.require(self.name)
        if not self._learned:
            return self._words.answer(requests)
        blocks, chosen = [], []
        for request in requests:
            history = self._shop.places_of(request.history)
            places, ranks = self._candidates(request, history)
            chosen.append(places)
            blocks.append(self._features(places, history, request.query, ranks))
        scores = self._scores(np.concatenate(blocks))
        pages = []
        ends = np.cumsum([len(places) for places in chosen])
        for request, places, end in zip(requests, chosen, ends, strict=True):
            order = np.argsort(-scores[end - len(places) : end], kind="stable")
            kept = places[order][request.offset : request.offset + request.limit]
            pages.append(self._shop.page(kept))
        return pages

    def _scores(self, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        for method in ("predict_proba", "decision_function", "predict"):
            score = getattr(self.model, method, None)
            if score is not None:
                found = np.asarray(score(features), np.float64)
                return np.asarray(found[:, -1] if found.ndim == 2 else found)
        raise TypeError(f"{self.name} has none of predict_proba, decision_function and predict")

    def _candidates(
        self, request: PageRequest, history: Sequence[int]
    ) -> tuple[npt.NDArray[np.int64], dict[int, int]]:
        wanted = max(self.candidates, 2 * (request.limit + request.offset))
        if (request.query or "").strip():
            asked = PageRequest("", request.at, request.query, limit=wanted)
            found = self._shop.places_of(self._words.answer([asked])[0])
            return np.array(found, np.int64), {place: rank for rank, place in enumerate(found)}
        parts = [self._shop.order[:wanted]]
        for code in dict.fromkeys(self._categories[np.asarray(history[-20:], np.int64)].tolist()):
            if code not in self._by_category:
                inside = self._shop.order[self._categories[self._shop.order] == code]
                self._by_category[code] = inside[:wanted]
            parts.append(self._by_category[code][:20])
        held = [place for place in history[-50:] if self._shop.available[place]]
        parts.append(np.array(held, np.int64))
        places = np.concatenate(parts)
        return places[np.sort(np.unique(places, return_index=True)[1])], {}


def _codes(values: Sequence[str | None]) -> npt.NDArray[np.int64]:
    """A number for each value; unknown ones are all different, so that none matches another."""
    known: dict[str, int] = {}
    codes = [
        -1 - number if value is None else known.setdefault(value, len(known))
        for number, value in enumerate(values)
    ]
    return np.array(codes, np.int64)
