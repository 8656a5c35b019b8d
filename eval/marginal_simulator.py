"""The simple simulator that every other one must beat.

It draws the order of events from a first-order Markov chain and everything else (items, their
prices, queries, page lengths, positions of responses, users, start times, durations) independently
from the real frequencies. It knows every marginal and nothing that depends on anything: neither
that a query leads to its items, nor that one shopper's clicks go together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from footfall.errors import EmptyLogError
from footfall.eval.event_chain import (
    BROWSE,
    BUY,
    CART,
    CLICK,
    MORE,
    PAST_SESSIONS,
    QUERY,
    EventChain,
    Events,
    past_pages,
)
from footfall.simulator.schema import ARROW_SCHEMAS, ORIGIN_REAL

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["SIMPLE_ORIGIN", "MarginalSimulator", "Marginals"]

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

#: Origin of the rows that the simple simulator makes; they are never stored.
SIMPLE_ORIGIN: Final = "simple-simulator"
#: Longer pages are cut, so that one wrong row of a log cannot fill the memory.
_LONGEST_SLATE: Final = 200
_RESPONSES: Final = ((CLICK, "clicked"), (CART, "carted"), (BUY, "purchased"))


@dataclass(frozen=True, slots=True)
class _Shares:
    """Values and how often each occurs."""

    values: pa.Array
    weights: Floats

    def draw(self, size: int, generator: np.random.Generator) -> pa.Array:
        """``size`` values with their frequencies; nulls where nothing was ever seen."""
        if not len(self.values):
            return pa.nulls(size, self.values.type)
        cumulated = np.cumsum(self.weights)
        places = np.searchsorted(cumulated, generator.random(size) * cumulated[-1], side="right")
        return self.values.take(pa.array(np.minimum(places, len(self.values) - 1)))


@dataclass(frozen=True, slots=True)
class Marginals:
    """What occurs how often in the real sessions, one thing at a time."""

    items: _Shares
    prices: _Shares
    queries: _Shares
    slate_sizes: _Shares
    times: pa.Table
    position_rates: Floats


def _weighted(log: Log, select: str, parameters: dict[str, Any]) -> _Shares:
    sql = f"WITH {PAST_SESSIONS}, {past_pages()} {select}"
    rows = log.query(sql, parameters)
    values = rows["value"].combine_chunks()
    return _Shares(values, rows["weight"].to_numpy().astype(np.float64))


_ITEMS = f"""
    SELECT item_id AS value, sum(weight) AS weight FROM (
        SELECT item_id, 1 / sample_rate AS weight FROM pages JOIN impressions USING (search_id)
        UNION ALL
        SELECT item_id, 1.0 FROM purchases JOIN past USING (session_id)
        WHERE $outside AND origin = '{ORIGIN_REAL}')
    GROUP BY value ORDER BY value"""
_PRICES = f"""
    SELECT value, sum(weight) AS weight FROM (
        SELECT coalesce(i.price, items.price) AS value, 1 / sample_rate AS weight
        FROM pages JOIN impressions i USING (search_id) LEFT JOIN items USING (item_id)
        UNION ALL
        SELECT CASE WHEN quantity > 0 THEN amount / quantity END, 1.0
        FROM purchases JOIN past USING (session_id)
        WHERE $outside AND origin = '{ORIGIN_REAL}')
    WHERE value IS NOT NULL GROUP BY value ORDER BY value"""
_QUERIES = """
    SELECT query AS value, count(*) AS weight FROM pages
    WHERE trim(query) <> '' GROUP BY value ORDER BY value"""
_SIZES = f"""
    SELECT least(rows_shown, {_LONGEST_SLATE})::BIGINT AS value, count(*) AS weight FROM (
        SELECT search_id, count(i.item_id) AS rows_shown
        FROM pages LEFT JOIN impressions i USING (search_id) GROUP BY search_id)
    GROUP BY value ORDER BY value"""
_TIMES = f"""
    WITH {PAST_SESSIONS}
    SELECT started_at, epoch_us(ended_at) - epoch_us(started_at) AS duration
    FROM past ORDER BY session_id"""
_POSITIONS = f"""
    SELECT position, avg(CASE WHEN responded THEN 1.0 ELSE 0.0 END) AS rate FROM (
        SELECT position, coalesce(clicked, purchased) AS responded
        FROM pages JOIN impressions USING (search_id)
        WHERE position BETWEEN 1 AND {_LONGEST_SLATE} AND coalesce(clicked, purchased) IS NOT NULL
            AND pages.candidates = 'logged')
    GROUP BY position ORDER BY position"""


class MarginalSimulator:
    """Independent marginals and a first-order Markov chain, fitted on real sessions.

    Use :meth:`fit`, then :meth:`simulate`.
    """

    def __init__(self, chain: EventChain, marginals: Marginals, recorded: Sequence[str]) -> None:
        self.chain = chain
        self.marginals = marginals
        self._recorded = frozenset(recorded)

    @classmethod
    def fit(
        cls, log: Log, *, until: datetime | None = None, outside: bool = False
    ) -> MarginalSimulator:
        """Fit on the real sessions before ``until``; on all of them without it.

        With ``outside``, purchases are those of the table ``purchases``.

        Raises
        ------
        EmptyLogError
            If there is no real session before ``until``.
        """
        parameters = {"until": until, "outside": outside}
        times = log.query(_TIMES, {"until": until})
        if not times.num_rows:
            raise EmptyLogError(
                "The log has no real sessions to fit the simple simulator on.",
                hint="Ingest the real log with `footfall ingest`, or name a later --until.",
            )
        rates = log.query(f"WITH {PAST_SESSIONS}, {past_pages()} {_POSITIONS}", {"until": until})
        by_position = np.zeros(_LONGEST_SLATE)
        by_position[rates["position"].to_numpy() - 1] = rates["rate"].to_numpy()
        known = log.query(
            f"""WITH {PAST_SESSIONS}, {past_pages()}
            SELECT count(clicked) AS clicked, count(carted) AS carted,
                count(purchased) + $outside::INTEGER AS purchased
            FROM pages JOIN impressions USING (search_id)""",
            parameters,
        ).to_pylist()[0]
        marginals = Marginals(
            _weighted(log, _ITEMS, parameters),
            _weighted(log, _PRICES, parameters),
            _weighted(log, _QUERIES, {"until": until}),
            _weighted(log, _SIZES, {"until": until}),
            times,
            by_position,
        )
        chain = EventChain.fit(log, until=until, outside=outside)
        return cls(chain, marginals, [name for name, count in known.items() if count])

    def simulate(
        self, sessions: int, users: int, generator: np.random.Generator
    ) -> dict[str, pa.Table]:
        """Sessions, searches and impressions as rows of the log, of origin ``SIMPLE_ORIGIN``.

        The sessions are spread over ``users`` users at random.
        """
        events = self.chain.sample(sessions, generator)
        events = _with_pages(events)
        pages = _Pages.of(events)
        starts = generator.integers(self.marginals.times.num_rows, size=sessions)
        started = self.marginals.times["started_at"].combine_chunks().take(pa.array(starts))
        tables = {
            "sessions": self._sessions(started, users, generator),
            "searches": self._searches(pages, started, generator),
            "impressions": self._impressions(events, pages, started, generator),
        }
        return {
            name: table.cast(pa.schema([ARROW_SCHEMAS[name].field(c) for c in table.column_names]))
            for name, table in tables.items()
        }

    def _sessions(self, started: pa.Array, users: int, generator: np.random.Generator) -> pa.Table:
        import pyarrow.compute as pc

        count = len(started)
        times = self.marginals.times
        drawn = pa.array(generator.integers(times.num_rows, size=count))
        duration = times["duration"].combine_chunks().take(drawn).cast(pa.duration("us"))
        user = generator.integers(max(1, users), size=count)
        return pa.table(
            {
                "session_id": _names("", np.arange(count)),
                "user_id": _names("user-", user),
                "started_at": started,
                "ended_at": pc.add(started, duration),
                "origin": pa.array([SIMPLE_ORIGIN] * count),
            }
        )

    def _searches(
        self, pages: _Pages, started: pa.Array, generator: np.random.Generator
    ) -> pa.Table:
        count = len(pages.session)
        drawn = self.marginals.queries.draw(count, generator).cast(pa.string())
        # A further page shows the same query as the page that began the list.
        asked = pages.state[pages.first] == QUERY
        query = drawn.take(pa.array(np.where(asked, pages.first, -1), mask=~asked))
        return pa.table(
            {
                "search_id": _names("page-", np.arange(count)),
                "session_id": _names("", pages.session),
                "step": pages.step,
                "query": query,
                "answered_by": pa.array([SIMPLE_ORIGIN] * count),
                "page": 1 + np.arange(count) - pages.first,
                "candidates": pa.array(["simulated"] * count),
                "searched_at": started.take(pa.array(pages.session)),
                "origin": pa.array([SIMPLE_ORIGIN] * count),
            }
        )

    def _impressions(
        self, events: Events, pages: _Pages, started: pa.Array, generator: np.random.Generator
    ) -> pa.Table:
        acts = _Acts.of(events, pages)
        drawn = self.marginals.slate_sizes.draw(len(pages.session), generator)
        drawn = drawn.fill_null(0).to_numpy(zero_copy_only=False)
        # A page holds at least the items that the chain responds to.
        sizes = np.maximum(drawn, np.bincount(acts.draws_page, minlength=len(pages.session)))
        page = np.repeat(np.arange(len(sizes)), sizes)
        begins = np.cumsum(sizes) - sizes
        place = np.arange(len(page)) - begins[page]
        row_of_draw = (
            begins[acts.draws_page]
            + self._ranked(page, place, generator)[begins[acts.draws_page] + acts.draws_turn]
        )
        responses = {}
        for state, name in _RESPONSES:
            flags = np.zeros(len(page), dtype=np.bool_)
            flags[row_of_draw[acts.draw[acts.state == state]]] = True
            unknown = name not in self._recorded
            responses[name] = pa.nulls(len(page), pa.bool_()) if unknown else pa.array(flags)
        return pa.table(
            {
                "search_id": _names("page-", page),
                "position": place + 1,
                "item_id": self.marginals.items.draw(len(page), generator),
                "price": self.marginals.prices.draw(len(page), generator),
                **responses,
                "shown_at": started.take(pa.array(pages.session[page])),
                "sample_rate": np.ones(len(page)),
                "origin": pa.array([SIMPLE_ORIGIN] * len(page)),
            }
        )

    def _ranked(self, page: Integers, place: Integers, generator: np.random.Generator) -> Integers:
        """Places of each page in the order in which they are responded to, shape ``(rows,)``.

        Weighted by the response rate of the position and without replacement: the smallest of
        exponential draws divided by the weights (Efraimidis and Spirakis 2006).
        """
        rates = self.marginals.position_rates
        weights = np.ones(len(rates)) if not rates.any() else np.maximum(rates, 1e-9)
        # A page may be longer than any in the log where the chain responds more often.
        keys = generator.exponential(size=len(page)) / weights[np.minimum(place, len(rates) - 1)]
        ranked: Integers = place[np.lexsort((keys, page))]
        return ranked


@dataclass(frozen=True, slots=True)
class _Pages:
    """Pages of all sessions in order: shapes ``(pages,)``.

    ``event`` is the page's place among the events, ``first`` the page that began its list.
    """

    event: Integers
    session: Integers
    state: Integers
    step: Integers
    first: Integers

    @classmethod
    def of(cls, events: Events) -> _Pages:
        event = np.flatnonzero(events.state < CLICK)
        session, state = events.session[event], events.state[event]
        number = np.arange(len(event))
        opens = np.append(True, session[1:] != session[:-1])[: len(event)]
        begin = np.maximum.accumulate(np.where(opens, number, 0)) if len(event) else number
        first = number
        if len(event):
            first = np.maximum.accumulate(np.where(opens | (state != MORE), number, 0))
        return cls(event, session, state, number - begin + 1, first)


@dataclass(frozen=True, slots=True)
class _Acts:
    """Responses in order, and the items drawn for them.

    A cart or purchase right after a click (or cart) is of the same item; every other response
    draws an item of its page. ``state`` and ``draw`` have the shape ``(responses,)``: the kind and
    which draw it is of; ``draws_page`` and ``draws_turn`` the shape ``(draws,)``: the page and the
    how manieth of its page.
    """

    state: Integers
    draw: Integers
    draws_page: Integers
    draws_turn: Integers

    @classmethod
    def of(cls, events: Events, pages: _Pages) -> _Acts:
        event = np.flatnonzero(events.state >= CLICK)
        state = events.state[event]
        if not len(event):
            return cls(state, event, event, event)
        before = events.state[event - 1]
        follows = (state > CLICK) & ((before == CLICK) | (before == CART)) & (before < state)
        draw = np.cumsum(~follows) - 1
        page = np.searchsorted(pages.event, event, side="right") - 1
        draws_page = page[~follows]
        number = np.arange(len(draws_page))
        opens = np.append(True, draws_page[1:] != draws_page[:-1])
        turn = number - np.maximum.accumulate(np.where(opens, number, 0))
        return cls(state, draw, draws_page, turn)


def _with_pages(events: Events) -> Events:
    """The events with a page before the first response of sessions that begin with a response."""
    opens = np.append(True, events.session[1:] != events.session[:-1])[: len(events.session)]
    lacking = np.flatnonzero(opens & (events.state >= CLICK))
    return Events(
        np.insert(events.session, lacking, events.session[lacking]),
        np.insert(events.state, lacking, BROWSE),
    )


def _names(kind: str, numbers: Integers) -> pa.Array:
    import pyarrow.compute as pc

    # Behind a slash, as a run's own identifiers are, so that none of the log's can be the same.
    start = pa.scalar(f"{SIMPLE_ORIGIN}/{kind}")
    return pc.binary_join_element_wise(start, pa.array(numbers).cast(pa.string()), "")
