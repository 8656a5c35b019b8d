"""Reads impressions of a log as training examples, without looking past the training part."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from footfall.errors import DataError, EmptyLogError, NoResponseError, SettingError
from footfall.finetune.example_table import EXAMPLE_SCHEMA, Examples
from footfall.finetune.item_features import item_features
from footfall.finetune.knowledge import check_knowledge
from footfall.finetune.shopper_features import category_affinity, describe_shoppers, user_warmth
from footfall.simulator.catalog import utc_moment
from footfall.simulator.schema import ORIGIN_REAL

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["Label", "describe_rows", "read_examples", "read_rows"]

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

# The latest snapshot not after the slate; synthetic slates know what their run could know.
_PLACED = """
SELECT r.*, CASE WHEN r.origin <> 'real' OR r.slate_at IS NULL THEN l.snapshot
                 ELSE (SELECT coalesce(max(k.snapshot), 0) FROM snapshots k
                       WHERE k.known_at <= r.slate_at) END AS snapshot
FROM rows_read r, (SELECT max(snapshot) AS snapshot FROM snapshots) l
"""

_JOINED = """
SELECT r.search_id || '/' || r.item_id || CASE WHEN r.copy > 1 THEN '#' || r.copy ELSE '' END
         AS example_id,
       r.search_id, r.session_id, r.user_id, r.item_id, r.query,
       coalesce(h.shopper_text, '') AS shopper_text,
       coalesce(h.shopper_profile, '') AS shopper_profile,
       coalesce(h.shopper_history, []) AS shopper_history,
       f.item_text, f.item_category, f.item_brand, r.label,
       1.0 AS weight, r.sample_rate, r.origin, r.shown_at, r.position, r.score,
       f.price_log, f.price_vs_category, f.popularity_log, f.category_popularity_log,
       coalesce(a.category_affinity, 0.0) AS category_affinity,
       CASE WHEN r.query IS NULL THEN 0.0 ELSE 1.0 END AS has_query,
       f.item_cold, coalesce(w.user_cold, true) AS user_cold
FROM placed r
JOIN item_rows f ON f.item_id = r.item_id AND f.snapshot = r.snapshot
LEFT JOIN shoppers h ON h.user_id = r.user_id AND h.snapshot = r.snapshot
LEFT JOIN affinities a
  ON a.user_id = r.user_id AND a.item_id = r.item_id AND a.snapshot = r.snapshot
LEFT JOIN warmth w ON w.user_id = r.user_id
ORDER BY r.slate_at NULLS LAST, r.search_id, r.position NULLS LAST, example_id
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
    _check(label, origins, max_slates, snapshots)
    known_until = utc_moment(until)
    chosen = pa.table({"origin": pa.array(list(dict.fromkeys(origins)), pa.string())})
    check_knowledge(log, chosen, known_until, allow_unknown=allow_unknown_knowledge)
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
    """Shown items with their response, as :func:`describe_rows` takes them.

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
    chosen = pa.table({"origin": pa.array(list(dict.fromkeys(origins)), pa.string())})
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
    return log.query(_ROWS.format(label=label), slates=slates)


def describe_rows(
    log: Log,
    rows: pa.Table,
    *,
    until: datetime | None,
    snapshots: int = 8,
    demographics: pa.Table | None = None,
) -> Examples:
    """Examples of shown items, described by what ``log`` says of shoppers and items.

    The rows themselves need not be in the log: what is described may lie in the test part while
    ``log`` holds the training part only.

    Parameters
    ----------
    log:
        The log whose history, prices and popularity are the features.
    rows:
        Columns ``search_id``, ``session_id``, ``user_id``, ``item_id``, ``query``, ``label``,
        ``sample_rate``, ``origin``, ``shown_at``, ``slate_at``, ``position``, ``score`` and
        ``copy`` (1, or more where a slate shows an item again).
    until:
        Nothing of the log from this moment on is used; none where the log holds nothing else.
    snapshots:
        As for :func:`read_examples`.
    demographics:
        What people say of themselves (``user_id`` and text columns), where ``log`` lacks some of
        the people; the log's own when not given.

    Raises
    ------
    DataError
        If a row shows an item that the log lacks.
    """
    slates = log.query(
        "SELECT search_id, any_value(slate_at) AS slate_at, any_value(origin) AS origin "
        "FROM rows_read GROUP BY search_id",
        rows_read=rows,
    )
    known_until = utc_moment(until)
    times = _snapshot_times(slates, known_until, snapshots)
    placed = log.query(_PLACED, rows_read=rows, snapshots=times)
    return _join(log, placed, times, known_until, demographics)


def _check(label: str, origins: Sequence[str], max_slates: int | None, snapshots: int) -> None:
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


def _snapshot_times(slates: pa.Table, until: datetime | None, count: int) -> pa.Table:
    """Moments at equal shares of the real slates before ``until``, then ``until`` itself.

    Without ``until`` the last moment is infinity.
    """
    real = slates["slate_at"].filter(pa.array(slates["origin"].to_numpy() == ORIGIN_REAL))
    times = real.drop_null().to_numpy().astype("datetime64[us]").astype(np.int64)
    # DuckDB's infinity.
    end = np.iinfo(np.int64).max if until is None else np.datetime64(until, "us").astype(np.int64)
    times = times[times < end]
    moments = (
        np.unique(np.quantile(times, np.arange(count) / count, method="lower"))
        if len(times)
        else np.zeros(0, np.int64)
    )
    known = np.append(moments, end).astype("datetime64[us]")
    return pa.table(
        {
            "snapshot": pa.array(np.arange(len(known)), pa.int32()),
            "known_at": pa.array(known, pa.timestamp("us")),
        }
    )


def _join(
    log: Log,
    placed: pa.Table,
    times: pa.Table,
    until: datetime | None,
    demographics: pa.Table | None,
) -> Examples:
    items = item_features(log, placed, times, until)
    shoppers, interests = describe_shoppers(log, placed, times, until, demographics)
    table = log.query(
        _JOINED,
        placed=placed,
        item_rows=items,
        shoppers=shoppers,
        affinities=category_affinity(log, placed, interests),
        warmth=user_warmth(log, placed, until),
    )
    if table.num_rows != placed.num_rows:
        raise DataError(
            f"{placed.num_rows - table.num_rows} impressions show items that the table items "
            "lacks.",
            hint="Ingest them with the other items: `footfall ingest` reads the mapping's [items].",
        )
    return Examples(table.select(EXAMPLE_SCHEMA.names))
