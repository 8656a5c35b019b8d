"""A first-order Markov chain over the events of a session.

The states are the start, a page of results for a query, a page opened without a query, a further
page of the same results, a click, something put in the cart, a purchase, and the end. The chance
of the next event depends on the last one only, which is what makes it the plainest model of a
session that has an order at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from footfall.simulator.schema import ORIGIN_REAL

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = [
    "BROWSE",
    "BUY",
    "CART",
    "CLICK",
    "END",
    "MORE",
    "PAST_SESSIONS",
    "QUERY",
    "START",
    "EventChain",
    "Events",
    "past_pages",
]

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

START, QUERY, BROWSE, MORE, CLICK, CART, BUY, END = range(8)
_STATES: Final = 8
#: A session that a chain with loops would not end is cut here.
_MOST_EVENTS: Final = 500
_AFTER_ALL_PAGES: Final = 1_000_000_000

#: Real sessions before ``$until``; all without it.
PAST_SESSIONS: Final = f"""
    past AS (
        SELECT session_id, started_at, ended_at FROM sessions
        WHERE origin = '{ORIGIN_REAL}'
            AND ($until::TIMESTAMP IS NULL OR started_at < $until::TIMESTAMP))"""


def past_pages() -> str:
    """CTE of their pages in order, each with the state that it is."""
    return f"""
        pages AS (
            SELECT session_id, search_id, query, candidates,
                row_number() OVER (PARTITION BY session_id ORDER BY step, page, search_id) AS place,
                CASE WHEN page > 1 THEN {MORE} WHEN trim(query) <> '' THEN {QUERY} ELSE {BROWSE} END
                    AS state
            FROM searches JOIN past USING (session_id))"""


_STEPS: Final = f"""
    responses AS (
        SELECT session_id, place, kinds.state,
            row_number() OVER (PARTITION BY search_id ORDER BY
                coalesce(clicked_at, purchased_at), position, i.item_id, kinds.state) AS turn
        FROM pages JOIN impressions i USING (search_id),
            (VALUES ({CLICK}), ({CART}), ({BUY})) AS kinds (state)
        WHERE CASE kinds.state WHEN {CLICK} THEN clicked WHEN {CART} THEN carted
            ELSE purchased AND NOT $outside END),
    bought AS (
        SELECT session_id, {_AFTER_ALL_PAGES} AS place, {BUY} AS state,
            row_number() OVER (PARTITION BY session_id ORDER BY purchased_at, item_id) AS turn
        FROM purchases JOIN past USING (session_id)
        WHERE $outside AND origin = '{ORIGIN_REAL}'),
    events AS (
        SELECT session_id, -1 AS place, {START} AS state, 0 AS turn FROM past
        UNION ALL SELECT session_id, place, state, 0 FROM pages
        UNION ALL SELECT session_id, place, state, turn FROM responses
        UNION ALL SELECT session_id, place, state, turn FROM bought),
    steps AS (
        SELECT state, lead(state, 1, {END}) OVER (
            PARTITION BY session_id ORDER BY place, turn) AS next
        FROM events)
"""


@dataclass(frozen=True, slots=True)
class Events:
    """Events of many sessions, ordered by session and step: shapes ``(events,)``."""

    session: Integers
    state: Integers


@dataclass(frozen=True, slots=True)
class EventChain:
    """Chances of the next state given the last one, shape ``(8, 8)``; rows sum to 1."""

    chances: Floats

    @classmethod
    def fit(cls, log: Log, *, until: datetime | None, outside: bool = False) -> EventChain:
        """Relative frequencies of the steps of the real sessions before ``until``.

        Within a page the responses to one item follow one another (click, cart, purchase), and
        items come in the order of their times or positions. With ``outside``, purchases are those
        of the table ``purchases``, after the last page.
        """
        sql = f"WITH {PAST_SESSIONS}, {past_pages()}, {_STEPS}"
        rows = log.query(
            f"{sql} SELECT state, next, count(*) AS n FROM steps GROUP BY ALL ORDER BY ALL",
            {"until": until, "outside": outside},
        )
        counts = np.zeros((_STATES, _STATES))
        counts[rows["state"].to_numpy(), rows["next"].to_numpy()] = rows["n"].to_numpy()
        return cls.of(counts)

    @classmethod
    def of(cls, counts: Floats) -> EventChain:
        """Chances from counts of steps; a state that never occurred leads to the end."""
        chances = np.array(counts, dtype=np.float64)
        chances[chances.sum(axis=1) == 0, END] = 1.0
        return cls(chances / chances.sum(axis=1, keepdims=True))

    @property
    def named(self) -> Mapping[tuple[int, int], float]:
        """The chances above zero by (state, next)."""
        return {
            (int(state), int(following)): float(self.chances[state, following])
            for state, following in np.argwhere(self.chances > 0)
        }

    def sample(self, sessions: int, generator: np.random.Generator) -> Events:
        """Draw whole sessions, all of them one step at a time."""
        cumulated = np.cumsum(self.chances, axis=1)
        cumulated[:, -1] = 1.0
        session = np.arange(sessions)
        state = np.full(sessions, START)
        found: list[tuple[Integers, Integers]] = []
        for _ in range(_MOST_EVENTS):
            draws = generator.random(len(state))
            state = (draws[:, None] >= cumulated[state]).sum(axis=1)
            going = state != END
            session, state = session[going], state[going]
            if not len(state):
                break
            found.append((session, state))
        if not found:
            return Events(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
        sessions_of, states = (np.concatenate(parts) for parts in zip(*found, strict=True))
        # The steps of a session were drawn in order, so a stable sort keeps them so.
        order = np.argsort(sessions_of, kind="stable")
        return Events(sessions_of[order], states[order])
