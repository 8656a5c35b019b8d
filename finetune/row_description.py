"""Examples of shown items: each described by what was known when it was shown."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from footfall.errors import DataError
from footfall.finetune.example_table import EXAMPLE_SCHEMA, Examples
from footfall.finetune.item_features import item_features
from footfall.finetune.shopper_features import category_affinity, describe_shoppers, user_warmth
from footfall.simulator.catalog import utc_moment
from footfall.simulator.schema import ORIGIN_REAL

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["RowDescriber", "describe_rows"]

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
       coalesce(h.shopper_demographics, '{}') AS shopper_demographics,
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
        "SELECT search_id, user_id, any_value(slate_at) AS slate_at, any_value(origin) AS origin "
        "FROM rows_read GROUP BY search_id, user_id",
        rows_read=rows,
    )
    describer = RowDescriber(
        log, slates, until=until, snapshots=snapshots, demographics=demographics
    )
    return describer.describe(rows)


class RowDescriber:
    """Describes the rows of some pages, all at once or portion by portion.

    Shoppers are described together: one without a history is taken to be like the others.

    Parameters
    ----------
    log, until, snapshots, demographics:
        As for :func:`describe_rows`.
    slates:
        The pages: ``search_id``, ``user_id``, ``slate_at``, ``origin``.
    """

    def __init__(
        self,
        log: Log,
        slates: pa.Table,
        *,
        until: datetime | None,
        snapshots: int = 8,
        demographics: pa.Table | None = None,
    ) -> None:
        self._log = log
        self._until = utc_moment(until)
        self._times = _snapshot_times(slates, self._until, snapshots)
        self._shoppers, self._interests = describe_shoppers(
            log, self._placed(slates), self._times, self._until, demographics
        )

    def _placed(self, rows: pa.Table) -> pa.Table:
        return self._log.query(_PLACED, rows_read=rows, snapshots=self._times)

    def describe(self, rows: pa.Table) -> Examples:
        """Examples of rows of these pages.

        Raises
        ------
        DataError
            If a row shows an item that the log lacks.
        """
        placed = self._placed(rows)
        table = self._log.query(
            _JOINED,
            placed=placed,
            item_rows=item_features(self._log, placed, self._times, self._until),
            shoppers=self._shoppers,
            affinities=category_affinity(self._log, placed, self._interests),
            warmth=user_warmth(self._log, placed, self._until),
        )
        if table.num_rows != placed.num_rows:
            raise DataError(
                f"{placed.num_rows - table.num_rows} impressions show items that the table items "
                "lacks.",
                hint="Ingest them with the other items: `footfall ingest` reads the mapping's "
                "[items].",
            )
        return Examples(table.select(EXAMPLE_SCHEMA.names))


def _snapshot_times(slates: pa.Table, until: datetime | None, count: int) -> pa.Table:
    """Moments at equal shares of the real slates before ``until``, then ``until`` itself.

    Without ``until`` the last moment is infinity. Columns ``snapshot`` and ``known_at``.
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
