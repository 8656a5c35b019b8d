"""Reads impressions of a log as training examples, without looking past the training part."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from footfall.errors import EmptyLogError, NoResponseError, SettingError
from footfall.finetune.example_table import Examples
from footfall.finetune.knowledge import check_knowledge
from footfall.finetune.row_description import describe_rows
from footfall.simulator.catalog import utc_moment
from footfall.simulator.schema import ORIGIN_REAL

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = [
    "Label",
    "check_reading",
    "read_examples",
    "read_rows",
    "read_slates",
    "rows_of_slates",
]

Label = Literal["purchased", "clicked"]

# The time of a slate is the same for all its rows, so that no boundary cuts a slate.
_SLATES = """
SELECT i.search_id, any_value(s.session_id) AS session_id, any_value(e.user_id) AS user_id,
       any_value(s.query) AS query, any_value(s.origin) AS origin,
       coalesce(any_value(s.searched_at), any_value(e.started_at), min(i.shown_at)) AS slate_at
FROM impressions i
JOIN searches s ON s.search_id = i.search_id
JOIN sessions e ON e.session_id = s.session_id
WHERE i.{label} IS NOT NULL AND s.origin IN (SELECT origin FROM chosen_origins)
GROUP BY i.search_id
HAVING ($start::TIMESTAMP IS NULL OR slate_at >= $start::TIMESTAMP)
   AND ($end::TIMESTAMP IS NULL OR slate_at < $end::TIMESTAMP)
"""

_ROWS = """
SELECT i.search_id, s.session_id, s.user_id, i.item_id, nullif(trim(s.query), '') AS query,
       i.{label} AS label, i.sample_rate, s.origin, coalesce(i.shown_at, s.slate_at) AS shown_at,
       s.slate_at, i.position, i.score,
       row_number() OVER (PARTITION BY i.search_id, i.item_id ORDER BY i.position, i.score) AS copy
FROM impressions i JOIN slates s ON s.search_id = i.search_id
WHERE i.{label} IS NOT NULL
"""


def read_examples(
    log: Log,
    *,
    label: Label = "purchased",
    start: datetime | None = None,
    end: datetime | None = None,
    until: datetime,
    origins: Sequence[str] = (ORIGIN_REAL,),
    max_slates: int | None = None,
    seed: int = 0,
    snapshots: int = 8,
    allow_unknown_knowledge: bool = False,
) -> Examples:
    """Impressions with their response as examples.

    Nothing after ``until`` (the end of the training part) enters a feature, wherever the example
    itself lies. A real example before ``until`` is described as of the latest of ``snapshots``
    moments not after its own slate, so that its own response is in none of its features; one
    after ``until``, or without a time, as of ``until``: a shopper's later history is not followed.
    Synthetic examples are described by their persona and by the items as of ``until``.

    Parameters
    ----------
    log:
        An open log.
    label:
        Response to learn: ``purchased`` or ``clicked``. Rows where it is null are skipped.
    start, end:
        Slates from ``start`` on and before ``end``; slates without any time are only read when
        neither is given. Times without zone are UTC.
    until:
        End of the training part, exclusive.
    origins:
        ``real`` and run ids.
    max_slates:
        Most searches read. A seeded hash of the session id chooses; searches stay whole, and so do
        sessions, except that the last one may be cut between searches.
    seed:
        Seed of that choice.
    snapshots:
        How many moments before ``until`` features are computed for.
    allow_unknown_knowledge:
        Accept runs whose configuration does not say what they have seen.

    Returns
    -------
    footfall.finetune.example_table.Examples
    --------
        Ordered by time, then search. ``item_cold`` and ``user_cold``: no purchase or click in the
        real log before ``until``. Each row has weight 1.

    Raises
    ------
    SettingError
        If a setting is out of range.
    EmptyLogError
        If no slate matches.
    NoResponseError
        If the log has slates but records no such response.
    DataError
        If a run is unknown, or has or may have seen data after ``until``; or if a slate shows an
        item that ``items`` lacks.
    """
    check_reading(label, origins, max_slates, snapshots)
    known_until = utc_moment(until)
    check_knowledge(log, _origin_table(origins), known_until, allow_unknown=allow_unknown_knowledge)
    rows = read_rows(
        log, label=label, start=start, end=end, origins=origins, max_slates=max_slates, seed=seed
    )
    return describe_rows(log, rows, until=known_until, snapshots=snapshots)


def read_rows(
    log: Log,
    *,
    label: Label = "purchased",
    start: datetime | None = None,
    end: datetime | None = None,
    origins: Sequence[str] = (ORIGIN_REAL,),
    max_slates: int | None = None,
    seed: int = 0,
    searches: pa.Table | None = None,
) -> pa.Table:
    """Shown items with their response, for :mod:`~footfall.finetune.row_description`.

    Parameters
    ----------
    searches:
        Only these searches: a table with the column ``search_id``.
    log, label, start, end, origins, max_slates, seed:
        As for :func:`read_examples`.

    Raises
    ------
    EmptyLogError
        If no slate matches.
    NoResponseError
        If the log has slates but records no such response.
    """
    slates = read_slates(
        log,
        label=label,
        start=start,
        end=end,
        origins=origins,
        max_slates=max_slates,
        seed=seed,
        searches=searches,
    )
    return rows_of_slates(log, slates, label)


def read_slates(
    log: Log,
    *,
    label: Label = "purchased",
    start: datetime | None = None,
    end: datetime | None = None,
    origins: Sequence[str] = (ORIGIN_REAL,),
    max_slates: int | None = None,
    seed: int = 0,
    searches: pa.Table | None = None,
) -> pa.Table:
    """Pages with a known response, one row each; parameters and errors as for :func:`read_rows`.

    Returns
    -------
    pyarrow.Table
        ``search_id``, ``session_id``, ``user_id``, ``query``, ``origin``, ``slate_at``.
    """
    chosen = _origin_table(origins)
    moments = {"start": utc_moment(start), "end": utc_moment(end)}
    slates = log.query(_SLATES.format(label=label), moments, chosen_origins=chosen)
    if searches is not None:
        slates = log.query(
            "SELECT * FROM slates SEMI JOIN searches_kept USING (search_id)",
            slates=slates,
            searches_kept=searches,
        )
    if max_slates is not None:
        slates = log.query(
            # By session, so that sessions stay as long as they were (but for the last one).
            "SELECT * FROM slates ORDER BY md5($seed || '/' || session_id), search_id LIMIT $count",
            {"seed": str(seed), "count": max_slates},
            slates=slates,
        )
    if not slates.num_rows:
        _complain_empty(log, label, chosen)
    return slates


def rows_of_slates(log: Log, slates: pa.Table, label: Label) -> pa.Table:
    """Shown items of some of the pages of :func:`read_slates`."""
    return log.query(_ROWS.format(label=label), slates=slates)


def _origin_table(origins: Sequence[str]) -> pa.Table:
    return pa.table({"origin": pa.array(list(dict.fromkeys(origins)), pa.string())})


def check_reading(
    label: str, origins: Sequence[str], max_slates: int | None, snapshots: int
) -> None:
    """Refuse settings of :func:`read_examples` that are out of range.

    Raises
    ------
    SettingError
        If one is.
    """
    if label not in {"purchased", "clicked"}:
        raise SettingError(f"label: {label!r} is unknown.", hint="Use 'purchased' or 'clicked'.")
    if isinstance(origins, str) or not origins:
        raise SettingError("origins: give at least one of 'real' and run ids, as a list.")
    if max_slates is not None and max_slates < 1:
        raise SettingError(f"max_slates: {max_slates} is below 1.")
    if snapshots < 1:
        raise SettingError(f"snapshots: {snapshots} is below 1.")


def _complain_empty(log: Log, label: str, origins: pa.Table) -> None:
    counts = log.query(
        f"SELECT count(*) AS rows, count(i.{label}) AS known FROM impressions i "
        "JOIN searches s USING (search_id) WHERE s.origin IN (SELECT origin FROM chosen_origins)",
        chosen_origins=origins,
    ).to_pylist()[0]
    names = ", ".join(origins["origin"].to_pylist())
    if counts["rows"] and not counts["known"]:
        other = "clicked" if label == "purchased" else "purchased"
        raise NoResponseError(
            f"The log of {names} has {counts['rows']} impressions, and impressions.{label} is "
            "null in all of them.",
            hint=f"Try label={other!r}.",
        )
    raise EmptyLogError(
        f"No slate of {names} lies in the chosen time.",
        hint="Check start and end, or see what the log holds with `footfall runs`.",
    )
