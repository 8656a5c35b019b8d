"""What shoppers typed, were shown and responded to, each told by what was known before it.

A shopper is described by the log before their session begins (and before ``known_until``): no
event, and nothing later, is in the description that goes with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import pyarrow as pa

from footfall.errors import EmptyLogError, NoResponseError, SettingError
from footfall.personas.describe import demographic_records
from footfall.personas.habits import interest_category
from footfall.personas.persona import Persona
from footfall.personas.tokens import tokenize
from footfall.simulator.catalog import utc_moment
from footfall.simulator.histories import read_demographics, read_histories

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["Event", "Response", "read_events", "recorded_response", "require_times"]

Response = Literal["clicked", "purchased"]

_HISTORY_LENGTH: Final = 8
#: Most earlier queries of a visit that a prompt repeats.
_MOST_TRIED: Final = 3

# A search counts as one moment, so that no boundary cuts it. A response that came after the end
# leaves the search out: neither that it came nor that it did not is known by then.
_SEARCHES: Final = """
WITH pages AS (
    SELECT s.search_id, s.session_id, e.user_id, s.step, s.page, s.candidates,
           nullif(trim(s.query), '') AS query,
           coalesce(s.searched_at, e.started_at, i.moment) AS moment,
           coalesce(i.known, 0) AS known, coalesce(i.responses, 0) AS responses,
           coalesce(i.last_response, TIMESTAMP '-infinity') AS last_response
    FROM searches s JOIN sessions e USING (session_id)
    LEFT JOIN (
        SELECT search_id, min(shown_at) AS moment, count({response}) AS known,
               count(*) FILTER ({response}) AS responses,
               max({response}_at) FILTER ({response}) AS last_response
        FROM impressions WHERE origin = 'real' GROUP BY search_id
    ) i USING (search_id)
    WHERE s.origin = 'real'
), numbered AS (
    SELECT *, (row_number() OVER visit) = 1 AS begins,
           min(moment) OVER (PARTITION BY session_id) AS session_at,
           list(query) OVER (visit ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM pages WINDOW visit AS (PARTITION BY session_id ORDER BY step, page, search_id)
)
SELECT * FROM numbered
WHERE ($start::TIMESTAMP IS NULL OR moment >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR (moment < $end::TIMESTAMP AND last_response < $end::TIMESTAMP))
"""

_CHOSEN: Final = """
WITH said AS (
    SELECT *, hash AS place FROM (
        SELECT *, md5($seed || '/' || search_id) AS hash,
               page = 1 AND (query IS NOT NULL OR (begins AND EXISTS (
                   SELECT 1 FROM tuning_searches WHERE query IS NOT NULL))) AS asks,
               known > 0 AND (responses > 0 OR $none_share > 0) AS chooses
        FROM tuning_searches
    )
), turns AS (
    SELECT *, row_number() OVER (PARTITION BY asks ORDER BY place, search_id) AS ask_turn,
           row_number() OVER (PARTITION BY chooses, responses > 0 ORDER BY place, search_id)
           AS choice_turn,
           count(*) FILTER (chooses AND responses > 0) OVER () AS responded
    FROM said
)
SELECT * FROM (SELECT search_id, session_id, user_id, moment, session_at, query, before, candidates,
       asks AND ask_turn <= $queries AS asks,
       chooses AND choice_turn <= CASE WHEN responses > 0 THEN $choices
           ELSE floor(least($choices, responded) * $none_share / (1 - $none_share)) END AS chooses
FROM turns)
WHERE asks OR chooses
ORDER BY moment NULLS FIRST, search_id
"""

_SHOWN: Final = """
SELECT search_id, list(item_id ORDER BY position NULLS LAST, item_id) AS item_ids,
       list({response} ORDER BY position NULLS LAST, item_id) AS responses
FROM impressions JOIN chosen USING (search_id)
WHERE {response} IS NOT NULL AND impressions.origin = 'real'
GROUP BY search_id
"""

_PAST: Final = """
SELECT v.session_id, h.text, h.category, h.occurred_at
FROM (SELECT DISTINCT session_id, user_id, session_at FROM chosen) v
JOIN histories h ON h.user_id = v.user_id AND h.occurred_at < v.session_at
"""

_LATEST: Final = f"""
SELECT session_id, list(text ORDER BY last, text) AS texts FROM (
    SELECT session_id, text, max(occurred_at) AS last FROM past GROUP BY session_id, text
    QUALIFY row_number() OVER (PARTITION BY session_id ORDER BY last DESC, text DESC)
        <= {_HISTORY_LENGTH}
) GROUP BY session_id
"""

_INTERESTS: Final = """
SELECT session_id, category, count(*) AS times FROM past WHERE category IS NOT NULL
GROUP BY session_id, category ORDER BY session_id, category
"""


@dataclass(frozen=True, slots=True)
class Event:
    """One real search. ``item_ids`` and ``responses`` are empty where nothing shown is known.

    ``asks`` and ``chooses`` say for which task it was drawn. ``tried`` holds queries of the same
    visit before it that share a word with its own: another need begins with other words.
    """

    search_id: str
    user_id: str
    at: datetime | None
    persona: Persona
    query: str | None
    tried: tuple[str, ...]
    candidates: str
    item_ids: tuple[str, ...]
    responses: tuple[bool, ...]
    asks: bool
    chooses: bool


def recorded_response(log: Log, *, until: datetime | None = None) -> Response:
    """``clicked`` where the log before ``until`` has clicks, else ``purchased``.

    Raises
    ------
    NoResponseError
        If it has neither.
    """
    counts = log.query(
        "SELECT count(*) FILTER (clicked) AS clicked, count(*) FILTER (purchased) AS purchased"
        " FROM impressions WHERE origin = 'real' AND ($until::TIMESTAMP IS NULL"
        " OR coalesce(clicked_at, purchased_at, shown_at) < $until::TIMESTAMP)",
        {"until": utc_moment(until)},
    ).to_pylist()[0]
    if counts["clicked"]:
        return "clicked"
    if counts["purchased"]:
        return "purchased"
    raise NoResponseError(
        "The log records neither clicks nor purchases of items shown"
        + ("." if until is None else f" before {until.isoformat()}."),
        hint="Ingest a log that says what was clicked or bought, or give a later end.",
    )


def read_events(
    log: Log,
    *,
    response: Response,
    start: datetime | None = None,
    end: datetime | None = None,
    known_until: datetime | None = None,
    queries: int,
    choices: int,
    none_share: float = 0.5,
    seed: int = 0,
) -> list[Event]:
    """Real searches from ``start`` to ``end``, drawn by a seeded hash of their id, in time order.

    Parameters
    ----------
    response:
        What counts as a response.
    start, end:
        Searches from ``start`` on and before ``end``; those without any time only when neither
        is given. Times without zone are UTC.
    known_until:
        Shoppers are described by nothing from this moment on; their own session's start bounds
        it in any case.
    queries, choices:
        Most searches drawn for writing a query and for choosing.
    none_share:
        Most searches without a response among those for choosing.
    seed:
        Seed of the draw.

    Raises
    ------
    EmptyLogError
        If no search lies in the chosen time.
    """
    moments = {"start": utc_moment(start), "end": utc_moment(end)}
    chosen = log.query(
        _CHOSEN,
        {"seed": str(seed), "queries": queries, "choices": choices, "none_share": none_share},
        tuning_searches=log.query(_SEARCHES.format(response=response), moments),
    )
    if not chosen.num_rows:
        raise EmptyLogError(
            "No real search of the log lies in the chosen time"
            + (f" (before {end.isoformat()})." if end is not None else "."),
            hint="Give a later end, or none where the log has no times.",
        )
    return _assemble(log, chosen, response, known_until)


def _assemble(
    log: Log, chosen: pa.Table, response: Response, known_until: datetime | None
) -> list[Event]:
    shown = {
        row["search_id"]: row
        for row in log.query(
            _SHOWN.format(response=response), chosen=chosen.select(["search_id"])
        ).to_pylist()
    }
    people = _describe(log, chosen, known_until)
    nothing: dict[str, Any] = {"item_ids": (), "responses": ()}
    return [
        Event(
            search_id=row["search_id"],
            user_id=row["user_id"],
            at=row["moment"],
            persona=people[row["session_id"]],
            query=row["query"],
            tried=_tried(row["query"], row["before"] or ()),
            candidates=row["candidates"],
            item_ids=tuple(shown.get(row["search_id"], nothing)["item_ids"]),
            responses=tuple(shown.get(row["search_id"], nothing)["responses"]),
            asks=row["asks"],
            chooses=row["chooses"],
        )
        for row in chosen.to_pylist()
    ]


def _describe(log: Log, chosen: pa.Table, known_until: datetime | None) -> dict[str, Persona]:
    """The shopper of each session as a persona, by what precedes the session only.

    Not :func:`footfall.personas.describe.describe_users`: that draws everybody's habits towards
    the population's, which the session itself is part of.
    """
    sessions = chosen.select(["session_id", "user_id", "session_at"])
    past = log.query(_PAST, chosen=sessions, histories=read_histories(log, until=known_until))
    latest = {
        row["session_id"]: tuple(row["texts"]) for row in log.query(_LATEST, past=past).to_pylist()
    }
    interests: dict[str, dict[str, float]] = {}
    for row in log.query(_INTERESTS, past=past).to_pylist():
        name = interest_category(row["category"])
        if name:
            weights = interests.setdefault(row["session_id"], {})
            weights[name] = weights.get(name, 0.0) + row["times"]
    records = demographic_records(read_demographics(log))
    users = log.query(
        "SELECT DISTINCT session_id, user_id, coalesce(locale, 'en_US') AS locale"
        " FROM chosen LEFT JOIN (SELECT user_id, locale FROM users) USING (user_id)",
        chosen=sessions,
    ).to_pylist()
    return {
        row["session_id"]: Persona(
            persona_id=row["session_id"],
            locale=row["locale"],
            demographics=records.get(row["user_id"], {}),
            interests=_shares(interests.get(row["session_id"], {})),
            history=latest.get(row["session_id"], ()),
            source="log",
        )
        for row in users
    }


def _shares(weights: dict[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def _tried(query: str | None, before: Sequence[str | None]) -> tuple[str, ...]:
    words = set(tokenize(query or ""))
    found = dict.fromkeys(
        earlier for earlier in before if earlier and words & set(tokenize(earlier))
    )
    found.pop(query or "", None)
    return tuple(found)[-_MOST_TRIED:]


def require_times(log: Log, until: datetime | None) -> None:
    """Refuse an end of the training part for a log without times.

    Raises
    ------
    SettingError
        Naming what to leave out.
    """
    if until is None:
        return
    known = log.scalar(
        "SELECT count(*) FROM searches JOIN sessions USING (session_id)"
        " WHERE searches.origin = 'real' AND coalesce(searched_at, started_at) IS NOT NULL"
    )
    if not known:
        raise SettingError(
            "The log has no times, so nothing of it lies before the given end.",
            hint="Leave --until out: the whole log is then the training part.",
        )
