"""A scikit-learn style model as a recommender: candidates, features of each, its order of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from footfall.simulator.targets.protocol import PageRequest
from footfall.simulator.targets.ranker_rows import TrainingRows, earlier_shares, training_rows
from footfall.simulator.targets.shop_items import ShopItems
from footfall.simulator.targets.words import WordsTarget

__all__ = ["FEATURES", "RankerTarget"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Columns of a ranker's features, in their order.
FEATURES: Final = (
    "log_popularity",
    "log_price",
    "price_known",
    "log_age",
    "category_share",
    "brand_share",
    "taken_share",
    "word_rank",
    "queried",
)
#: Requests whose candidates are scored at once.
_ROWS: Final = 512
#: Items of each category of the shopper's last items that are candidates.
_OF_CATEGORY: Final = 20
_LAST: Final = 20
_DAY: Final = 86_400_000_000


class RankerTarget:
    """Any object with ``fit(X, y)`` and ``predict_proba``, ``decision_function`` or ``predict``.

    Candidates of a page are what BM25 finds for its query and, for browsing, the most popular
    items, those of the shopper's last categories, and what they took. They are ordered by the
    model's score of these features, float64 of shape (candidates, 9):

    ``log_popularity``
        log(1 + how often the item was taken, the row's own response left out).
    ``log_price``, ``price_known``
        Natural log of the price, 0 where it is not known; and whether it is.
    ``log_age``
        log(1 + days since the item was first seen), 0 where that is not known.
    ``category_share``, ``brand_share``, ``taken_share``
        Share of what the shopper took before that is of the item's category, of its brand, and
        this very item.
    ``word_rank``, ``queried``
        1 / (1 + its place in BM25's answer), 0 where that does not hold it; and whether there is
        a query.

    A response is a click or a purchase. Where the events hold responses only, four other items
    stand for what was not taken, for each response. A model that has seen no query is not asked
    about queries: BM25's order stays. Without any response there is no model, only BM25 and
    popularity.

    Parameters
    ----------
    model:
        The model. It is fitted by :meth:`fit`.
    name:
        What its pages are called by.
    candidates:
        How many are scored for a page; what lies beyond follows in BM25's or popularity's order.
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
        self._learned = self._knows_queries = False

    def fit(self, items: pa.Table, events: pa.Table) -> RankerTarget:
        """Fit the model on the events."""
        self._shop = ShopItems.of(items, events)
        self._words.fit(items, events)
        prices = items["price"].to_numpy(zero_copy_only=False).astype(np.float64)
        priced = np.isfinite(prices) & (prices > 0)
        self._log_price = np.where(priced, np.log(np.where(priced, prices, 1.0)), 0.0)
        self._priced = priced.astype(np.float64)
        seen = items["first_seen"].to_numpy(zero_copy_only=False).astype("datetime64[us]")
        self._seen_known = ~np.isnat(seen)
        self._first_seen = np.where(self._seen_known, seen.astype(np.int64), 0)
        self._codes = tuple(_codes(items[name].to_pylist()) for name in ("category", "brand"))
        self._of_category: dict[int, Ints] = {}
        rows = training_rows(events, self._shop, seed=self.seed)
        self._learned = len(np.unique(rows.response)) == 2
        self._knows_queries = any(query is not None for query in rows.query)
        if self._learned:
            self.model.fit(self._training_features(rows), rows.response.astype(np.int64))
        return self

    def _training_features(self, rows: TrainingRows) -> Floats:
        shares = [
            earlier_shares(rows, code) for code in (*self._codes, np.arange(len(self._shop.ids)))
        ]
        rank = np.zeros(len(rows.place))
        queried = np.array([bool((query or "").strip()) for query in rows.query], np.bool_)
        numbers: dict[str, list[int]] = {}
        for number in np.flatnonzero(queried).tolist():
            numbers.setdefault(rows.query[number], []).append(number)
        for query, asked in numbers.items():
            found = self._shop.places_of(self._words.found(query, self.candidates))
            place = {item: 1.0 / (1 + at) for at, item in enumerate(found)}
            rank[asked] = [place.get(item, 0.0) for item in rows.place[asked].tolist()]
        return self._features(
            rows.place, rows.moment, shares, rank, queried, own=rows.response.astype(np.float64)
        )

    def _features(
        self,
        places: Ints,
        moment: Ints,
        shares: Sequence[Floats],
        rank: Floats,
        queried: npt.NDArray[np.bool_],
        *,
        own: Floats | float = 0.0,
    ) -> Floats:
        """Columns of :data:`FEATURES`; all parameters of shape (rows,)."""
        days = np.maximum(moment - self._first_seen[places], 0) / _DAY
        return np.column_stack(
            [
                np.log1p(np.maximum(self._shop.popularity[places] - own, 0.0)),
                self._log_price[places],
                self._priced[places],
                np.where(self._seen_known[places], np.log1p(days), 0.0),
                *shares,
                rank,
                queried.astype(np.float64),
            ]
        )

    def answer(self, requests: Sequence[PageRequest]) -> list[list[str]]:
        """One page a request; the model scores the candidates of many of them at once."""
        self._shop.require(self.name)
        pages: list[list[str]] = self._words.answer(requests)
        found = [self._words.found(request.query, self.candidates) for request in requests]
        scored = [
            number
            for number, words in enumerate(found)
            if self._learned and (self._knows_queries or not words)
        ]
        for first in range(0, len(scored), _ROWS):
            numbers = scored[first : first + _ROWS]
            ranked = self._ranked([requests[n] for n in numbers], [found[n] for n in numbers])
            for number, page in zip(numbers, ranked, strict=True):
                pages[number] = self._cut(page, requests[number])
        return pages

    def _cut(self, ranked: list[str], request: PageRequest) -> list[str]:
        """The page; what lies beyond the candidates follows in BM25's or popularity's order."""
        end = request.offset + request.limit
        if end > len(ranked):
            deeper = self._words.found(request.query, end)
            held = set(ranked)
            ranked = ranked + [item_id for item_id in deeper if item_id not in held]
            ranked = ranked if deeper else self._shop.filled(ranked, end)
        return ranked[request.offset : end]

    def _ranked(
        self, requests: Sequence[PageRequest], found: Sequence[Sequence[str]]
    ) -> list[list[str]]:
        """All candidates of each request, best first."""
        histories = [
            np.array(self._shop.places_of(request.history), np.int64) for request in requests
        ]
        chosen = [
            np.array(self._shop.places_of(words), np.int64) if words else self._browsed(history)
            for words, history in zip(found, histories, strict=True)
        ]
        sizes = [len(places) for places in chosen]
        places, asked = np.concatenate(chosen), np.repeat(np.arange(len(requests)), sizes)
        queried = np.array([bool(words) for words in found])[asked]
        at = np.concatenate([np.arange(size) for size in sizes])
        moments = np.array([request.at for request in requests], "datetime64[us]")
        features = self._features(
            places,
            moments.astype(np.int64)[asked],
            _shares(histories, (*self._codes, np.arange(len(self._shop.ids))), places, asked),
            np.where(queried, 1.0 / (1.0 + at), 0.0),
            queried,
        )
        order = np.lexsort((at, -self._scores(features), asked))
        ids = self._shop.page(places[order])
        ends = np.cumsum(sizes).tolist()
        return [ids[end - size : end] for end, size in zip(ends, sizes, strict=True)]

    def _scores(self, features: Floats) -> Floats:
        for method in ("predict_proba", "decision_function", "predict"):
            score = getattr(self.model, method, None)
            if score is not None:
                found = np.asarray(score(features), np.float64)
                return np.asarray(found[:, -1] if found.ndim == 2 else found)
        raise TypeError(f"{self.name} has none of predict_proba, decision_function and predict")

    def _browsed(self, history: Ints) -> Ints:
        """Popular items, those of the last categories, and what was taken; available ones."""
        category, order = self._codes[0], self._shop.order
        parts = [order[: self.candidates]]
        for code in dict.fromkeys(category[history[-_LAST:]].tolist()):
            if code not in self._of_category:
                self._of_category[code] = order[category[order] == code][:_OF_CATEGORY]
            parts.append(self._of_category[code])
        parts.append(history[self._shop.available[history]])
        places = np.concatenate(parts)
        return places[np.sort(np.unique(places, return_index=True)[1])]


def _shares(
    histories: Sequence[Ints], codes: Sequence[Ints], places: Ints, asked: Ints
) -> list[Floats]:
    """Of each code: the share of the request's history that has the item's, shape (rows,)."""
    held = np.concatenate(histories)
    lengths = np.array([len(history) for history in histories])
    owner = np.repeat(np.arange(len(histories)), lengths)
    shares = []
    for code in codes:
        width = int(code.max(initial=0)) + 1
        keys, counts = np.unique(owner * width + code[held], return_counts=True)
        wanted = asked * width + code[places]
        at = np.searchsorted(keys, wanted)
        known = np.append(keys, -1)[at] == wanted
        same = np.where(known, np.append(counts, 0)[at], 0)
        shares.append(same / np.maximum(lengths[asked], 1))
    return shares


def _codes(values: Sequence[str | None]) -> Ints:
    """A number for each value; unknown ones are all different, so that none matches another."""
    known: dict[str | int, int] = {}
    keys = [number if value is None else value for number, value in enumerate(values)]
    return np.array([known.setdefault(key, len(known)) for key in keys], np.int64)
