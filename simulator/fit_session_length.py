"""Fit of how sessions go on: leaving, turning the page, searching anew, beginning by browsing.

After every page the shopper stops by a chance that depends on what the page led to (nothing, a
click, a purchase): geometric stopping, whose maximum-likelihood estimate is the share of such
pages that were a session's last.

What a log can tell
-------------------
Some logs cut sessions by how they were made: a display that stands for a whole visit, or a row an
impression. They say nothing of leaving. A log counts as telling where at least
:data:`FEWEST_EVENTS` pages were followed by another one of the same session; then its sessions of
one page are evidence like all others. Even so, a kind of page of which there are fewer than that
(a log made of clicks has no page without one) keeps its prior, and page turns keep theirs where
no page is numbered above 1. Sessions that go on at ``until`` are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from footfall.personas.tokens import tokenize
from footfall.simulator.behaviour import Behaviour, Rate
from footfall.simulator.catalog import utc_moment
from footfall.simulator.log import Log

__all__ = ["FEWEST_EVENTS", "SessionRates", "fit_sessions", "share"]

#: Fewest events for a share to be fitted.
FEWEST_EVENTS: Final = 50
#: Most pairs of queries compared word by word.
_MOST_PAIRS: Final = 20_000

_PAGES_SQL = """
WITH responses AS (
    SELECT search_id, bool_or(coalesce(clicked, false)) AS clicked,
           bool_or(coalesce(purchased, false)) AS bought
    FROM impressions WHERE origin = 'real' GROUP BY search_id
), real_pages AS (
    SELECT * FROM searches WHERE origin = 'real'
    QUALIFY $until IS NULL
        OR coalesce(max(searched_at) OVER (PARTITION BY session_id) < $until, false)
), pages AS (
    SELECT session_id, query, page, step, coalesce(clicked, false) AS clicked,
           coalesce(bought, false) AS bought,
           lead(query) OVER visit AS next_query, lead(page) OVER visit AS next_page,
           row_number() OVER visit = 1 AS first, lead(search_id) OVER visit IS NULL AS last
    FROM real_pages LEFT JOIN responses USING (search_id)
    WINDOW visit AS (PARTITION BY session_id ORDER BY step, page, searched_at, search_id)
)
"""

_COUNTS_SQL = f"""
{_PAGES_SQL}
SELECT count(*) AS pages, count(*) FILTER (NOT last) AS stayed,
       count(*) FILTER (first) AS sessions, count(query) AS queries,
       count(*) FILTER (first AND query IS NULL) AS browsed,
       count(*) FILTER (bought) AS after_purchase,
       count(*) FILTER (bought AND last) AS left_after_purchase,
       count(*) FILTER (clicked AND NOT bought) AS after_click,
       count(*) FILTER (clicked AND NOT bought AND last) AS left_after_click,
       count(*) FILTER (NOT clicked AND NOT bought) AS after_page,
       count(*) FILTER (NOT clicked AND NOT bought AND last) AS left_after_page,
       count(*) FILTER (NOT bought AND NOT last) AS went_on,
       count(*) FILTER (NOT bought AND NOT last AND next_page > page) AS turned,
       coalesce(max(page), 1) AS last_page
FROM pages
"""

_ANEW_SQL = f"""
{_PAGES_SQL}
SELECT query, next_query, count(*) AS times FROM pages
WHERE NOT bought AND NOT last AND next_page <= page
  AND query IS NOT NULL AND next_query IS NOT NULL
GROUP BY ALL ORDER BY times DESC, query, next_query LIMIT {_MOST_PAIRS}
"""


@dataclass(frozen=True, slots=True)
class SessionRates:
    """Rates of :class:`~footfall.simulator.behaviour.Behaviour` of the same names."""

    browsing: Rate
    leave_after_page: Rate
    leave_after_click: Rate
    leave_after_purchase: Rate
    next_page: Rate
    new_need: Rate


def fit_sessions(
    log: Log, *, until: datetime | None = None, clicks_known: bool = True
) -> SessionRates:
    """Fit what the real sessions that ended before ``until`` tell; priors for the rest.

    ``clicks_known`` is whether the log records clicks; where it does not, a page with a click is
    among those without a response and leaves at their rate.
    """
    prior = Behaviour()
    until = utc_moment(until)
    counts = {
        name: int(value)
        for name, value in log.query(_COUNTS_SQL, {"until": until}).to_pylist()[0].items()
    }
    browsing = prior.browsing
    if counts["queries"] and counts["sessions"]:
        browsing = share(counts["browsed"], counts["sessions"], "browsing first of sessions")
    if counts["stayed"] < FEWEST_EVENTS:
        return SessionRates(
            browsing,
            prior.leave_after_page,
            prior.leave_after_click,
            prior.leave_after_purchase,
            prior.next_page,
            prior.new_need,
        )
    page = _leaving(counts, "after_page", prior.leave_after_page, "without a response")
    click = _leaving(counts, "after_click", prior.leave_after_click, "with a click")
    if not clicks_known and page.source == "fitted":
        note = f"the log has no clicks: as without a response ({page.note})"
        click = page.model_copy(update={"note": note})
    return SessionRates(
        browsing,
        page,
        click,
        _leaving(counts, "after_purchase", prior.leave_after_purchase, "with a purchase"),
        _turning(counts, prior.next_page),
        _other_needs(log, until, prior.new_need),
    )


def share(part: int, whole: int, note: str) -> Rate:
    """Maximum-likelihood share and its standard error.

    The error is that of Agresti and Coull (1998), which is above 0 for shares of 0 and 1 too.
    """
    value = min(1.0, part / whole)
    adjusted = (min(part, whole) + 2) / (whole + 4)
    return Rate(
        value=value,
        standard_error=float(np.sqrt(adjusted * (1 - adjusted) / (whole + 4))),
        source="fitted",
        note=f"{note}, {whole:,} of them",
    )


def _leaving(counts: dict[str, int], name: str, prior: Rate, kind: str) -> Rate:
    if counts[name] < FEWEST_EVENTS:
        note = f"assumed: too few pages {kind} in the log ({counts[name]:,})"
        return prior.model_copy(update={"note": note})
    return share(counts[f"left_{name}"], counts[name], f"last of the session's pages {kind}")


def _turning(counts: dict[str, int], prior: Rate) -> Rate:
    if counts["last_page"] <= 1:
        return prior.model_copy(update={"note": "assumed: the log has first pages only"})
    if counts["went_on"] < FEWEST_EVENTS:
        return prior
    return share(counts["turned"], counts["went_on"], "turned of pages followed by another")


def _other_needs(log: Log, until: datetime | None, prior: Rate) -> Rate:
    """Share of new searches that have no word in common with the search before."""
    rows = log.query(_ANEW_SQL, {"until": until}).to_pylist()
    total = sum(row["times"] for row in rows)
    if total < FEWEST_EVENTS:
        note = f"assumed: too few queries that follow one another in the log ({total:,})"
        return prior.model_copy(update={"note": note})
    other = sum(row["times"] for row in rows if not _alike(row["query"], row["next_query"]))
    return share(other, total, "without a common word of pairs of queries in a session")


def _alike(first: str, second: str) -> bool:
    """Whether two queries have a word in common; single signs count where one has only such.

    In Chinese a shared sign is chance more often than a shared pair of signs.
    """
    words, others = set(tokenize(first)), set(tokenize(second))
    long, others_long = ({w for w in found if len(w) > 1} for found in (words, others))
    return bool(long & others_long if long and others_long else words & others)
