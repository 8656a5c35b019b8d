"""Pairs as slates: what else was on the page, and the rows that become training examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from footfall.errors import SettingError
from footfall.finetune.negatives import Negatives
from footfall.simulator.catalog import Catalog
from footfall.simulator.schema import ORIGIN_REAL
from footfall.simulator.search.bm25 import BM25Search

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from footfall.simulator.log import Log

__all__ = ["SlateMaker", "pair_rows"]

Array = np.ndarray[Any, Any]

#: Popular items are drawn less than in proportion (word2vec's noise exponent), as at ingest.
_EXPONENT: Final = 0.75
#: Weight of items that no made response takes, beside those that one does.
_LAST_RESORT: Final = 1e-9
#: Best BM25 answers that similar negatives are drawn from.
_FOUND: Final = 30


class SlateMaker:
    """Draws the items that stand beside a response.

    Items without a response so far are drawn as often as an average one: were they never shown in
    vain, "new" would mean "clicked". Where most made responses are to new items that is still too
    seldom, and new ones seem to be taken nearly always; ``balanced`` draws the items that made
    responses take, as often as they take them.

    Parameters
    ----------
    log:
        The training part.
    kind:
        How negatives are drawn.
    per_response:
        How many stand beside one response.
    until:
        Nothing of the log from this moment on is used.
    candidates:
        Items that may stand there though they have no response; all when not given.
    answering:
        With ``balanced``, items that answer the query come first, as they do on a real page, but
        none more often than it should.
    """

    def __init__(
        self,
        log: Log,
        *,
        kind: Negatives = "popularity",
        per_response: int = 9,
        until: datetime | None = None,
        candidates: Sequence[str] | None = None,
        answering: bool = False,
    ) -> None:
        if per_response < 1:
            raise SettingError(f"per_response: {per_response} is below 1.")
        self._kind = kind
        self._per_response = per_response
        self._catalog = Catalog.from_log(log, until=until)
        counts = self._catalog.table["popularity"].to_numpy().astype(np.float64)
        warm = counts > 0
        counts[~warm] = counts[warm].mean() if warm.any() else 1.0
        if candidates is not None:
            shown = self._catalog.places([item for item in candidates if item in self._catalog])
            allowed = warm.copy()
            allowed[shown] = True
            counts[~allowed] = 0.0
        weights = counts**_EXPONENT
        if kind == "random":
            weights = (weights > 0).astype(np.float64)
        self._weights = weights / weights.sum()
        self._answering = answering
        self._search = BM25Search(self._catalog) if kind in {"similar", "mixed"} else None

    def rows(self, pairs: pa.Table, origin: str, seed: int) -> pa.Table:
        """One slate a pair, as :func:`~footfall.finetune.row_description.describe_rows` takes them.

        Pairs are taken as responses; the negatives of a slate have no item twice. Pairs of a run
        (``VISIT_SCHEMA``) keep their session, and their slates are named by search and item.
        """
        rng = np.random.default_rng([seed, 2])
        taken = self._catalog.places(pairs["item_id"].to_pylist())
        queries = pairs["query"].to_pylist()
        if self._kind == "balanced":
            beside = self._balanced(taken, queries, rng)
        else:
            beside = self._popular(taken, self._weights, rng)
        if self._search is not None:
            self._put_similar(beside, taken, queries, rng)
        places = np.column_stack([taken, beside])
        size = places.shape[1]
        # The response stands anywhere: a fixed place would tell it.
        turn = rng.random(places.shape).argsort(axis=1)
        places = np.take_along_axis(places, turn, axis=1)
        labels = (turn == 0).ravel()
        known = places.ravel() >= 0
        repeated = np.repeat(np.arange(pairs.num_rows), size)
        table = pa.table(
            {
                "user_id": pairs["user_id"].take(pa.array(repeated)),
                "item_id": pa.array(self._catalog.item_ids[places.ravel()], pa.string()),
                "query": pairs["query"].take(pa.array(repeated)),
                "label": pa.array(labels),
            }
            | {name: pairs[name].take(pa.array(repeated)) for name in _visit(pairs)}
        )
        return _rows(table, repeated, origin).filter(pa.array(known))

    def _popular(self, taken: Array, rate: Array, rng: np.random.Generator) -> Array:
        """Weighted draws without replacement for each slate, by exponential races in blocks."""
        beside = np.full((len(taken), self._per_response), -1, np.int64)
        block = max(1, 4_000_000 // len(rate))
        for start in range(0, len(taken), block):
            stop = min(start + block, len(taken))
            with np.errstate(divide="ignore"):
                times = rng.exponential(size=(stop - start, len(rate))) / rate
            times[np.arange(stop - start), taken[start:stop]] = np.inf
            most = min(self._per_response, len(rate) - 1)
            nearest = np.argpartition(times, most - 1, axis=1)[:, :most] if most else None
            if nearest is None:
                continue
            finite = np.isfinite(np.take_along_axis(times, nearest, axis=1))
            beside[start:stop, :most] = np.where(finite, nearest, -1)
        return beside

    def _balanced(
        self, taken: Array, queries: Sequence[str | None], rng: np.random.Generator
    ) -> Array:
        """Every taken item so often in vain as its responses ask for."""
        counts = np.bincount(taken, minlength=len(self._weights))
        owed = counts.astype(np.float64) * self._per_response
        answers = np.full((len(taken), self._per_response), -1, np.int64)
        if self._answering:
            self._put_answers(answers, taken, owed, queries, rng)
        # Others only where so few items are taken that a slate lacks some.
        weights = owed / max(1.0, owed.sum()) + _LAST_RESORT * self._weights
        beside = self._popular(taken, weights, rng)
        for slate in np.flatnonzero((answers >= 0).any(axis=1)):
            own = answers[slate][answers[slate] >= 0]
            others = beside[slate][~np.isin(beside[slate], own)]
            beside[slate] = np.concatenate([own, others])[: self._per_response]
        return beside

    def _put_answers(
        self,
        beside: Array,
        taken: Array,
        owed: Array,
        queries: Sequence[str | None],
        rng: np.random.Generator,
    ) -> None:
        """Answers to the query among the items taken, each at most as often as it is ``owed``."""
        shown = self._catalog.subset(self._catalog.item_ids[owed > 0].tolist())
        distinct = sorted({query for query in queries if query})
        found = dict(zip(distinct, BM25Search(shown).search(distinct, limit=_FOUND), strict=True))
        for slate in rng.permutation(len(taken)):
            answers = self._catalog.places(found.get(queries[slate] or "", []))
            answers = answers[(answers != taken[slate]) & (owed[answers] >= 1.0)]
            wanted = min(len(answers), self._per_response)
            share = owed[answers] / max(1.0, owed[answers].sum())
            chosen = rng.choice(answers, wanted, replace=False, p=share) if wanted else answers
            beside[slate, :wanted] = chosen
            owed[chosen] -= 1.0

    def _put_similar(
        self,
        beside: Array,
        taken: Array,
        queries: Sequence[str | None],
        rng: np.random.Generator,
    ) -> None:
        """Replace (half of) the popular items by answers to the query, where there are any."""
        assert self._search is not None
        wanted = self._per_response if self._kind == "similar" else self._per_response // 2
        distinct = sorted({query for query in queries if query})
        found = dict(zip(distinct, self._search.search(distinct, limit=_FOUND), strict=True))
        for slate, query in enumerate(queries):
            answers = self._catalog.places(found[query]) if query else np.zeros(0, np.int64)
            answers = answers[(answers != taken[slate]) & (self._weights[answers] > 0)]
            answers = rng.permutation(answers[~np.isin(answers, beside[slate])])[:wanted]
            beside[slate, : len(answers)] = answers


def pair_rows(pairs: pa.Table, origin: str) -> pa.Table:
    """Labelled pairs as slates of one item each, for logs that tell both responses."""
    return _rows(pairs, np.arange(pairs.num_rows), origin)


def _rows(table: pa.Table, slates: Array, origin: str) -> pa.Table:
    if origin == ORIGIN_REAL:
        raise SettingError("origin: rows that were made are not real ones.")
    count = table.num_rows
    names = pa.array([f"{origin}/{number}" for number in slates.tolist()], pa.string())
    named = {"search_id": names, "session_id": names}
    return pa.table(
        {
            **(named | {name: table[name] for name in _visit(table)}),
            "user_id": table["user_id"],
            "item_id": table["item_id"],
            "query": table["query"],
            "label": table["label"],
            "sample_rate": pa.array(np.ones(count)),
            "origin": pa.array([origin] * count, pa.string()),
            "shown_at": pa.nulls(count, pa.timestamp("us")),
            "slate_at": pa.nulls(count, pa.timestamp("us")),
            "position": pa.nulls(count, pa.int32()),
            "score": pa.nulls(count, pa.float64()),
            "copy": pa.array(np.ones(count, np.int64)),
        }
    )


def _visit(table: pa.Table) -> list[str]:
    """Columns that say which visit of a run a pair comes from, where it comes from one."""
    return [name for name in ("search_id", "session_id") if name in table.column_names]
