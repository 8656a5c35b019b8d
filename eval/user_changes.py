"""What aimed visits changed for each person: what they came for, and how it is scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from footfall.eval.item_changes import probe_scores

if TYPE_CHECKING:
    from footfall.finetune.click_model import ClickModel
    from footfall.finetune.example_table import Examples
    from footfall.simulator.log import Log

__all__ = ["user_changes"]

#: Words and items that are told of each person.
_TOLD: Final = 5

_CAME = """
WITH visits AS (
    SELECT s.search_id, lower(trim(s.query)) AS query,
           regexp_replace(e.user_id, '^' || $run || '/', '') AS user_id
    FROM searches s JOIN sessions e USING (session_id) WHERE s.origin = $run
), taken AS (
    SELECT v.*, i.item_id FROM visits v JOIN impressions i USING (search_id)
    WHERE coalesce(i.clicked, i.purchased)
), counts AS (
    SELECT user_id, count(*) AS visits, count(DISTINCT item_id) AS items,
           count(DISTINCT query) AS queries FROM taken GROUP BY user_id
), asked AS (
    SELECT user_id, query, count(*) AS n FROM taken WHERE query IS NOT NULL GROUP BY ALL
), words AS (
    SELECT user_id, list(query ORDER BY n DESC, query)[1:$told] AS typed FROM asked GROUP BY user_id
), met AS (
    SELECT user_id, item_id, count(*) AS n FROM taken GROUP BY ALL
), texts AS (
    SELECT user_id, list(text ORDER BY n DESC, item_id)[1:$told] AS came_for
    FROM met JOIN items USING (item_id) GROUP BY user_id
)
SELECT a.user_id, coalesce(c.visits, 0) AS visits, coalesce(c.items, 0) AS items,
       coalesce(c.queries, 0) AS queries, coalesce(w.typed, []) AS typed,
       coalesce(t.came_for, []) AS came_for
FROM aimed a LEFT JOIN counts c USING (user_id) LEFT JOIN words w USING (user_id)
LEFT JOIN texts t USING (user_id)
ORDER BY a.user_id
"""

_SCORED = """
SELECT c.*, r.probes, r.probability_before, r.probability_after, r.rank_before, r.rank_after
FROM came c LEFT JOIN (
    SELECT regexp_replace(user_id, '^' || $run || '/', '') AS user_id, count(*) AS probes,
           avg(before) AS probability_before, avg(after) AS probability_after,
           avg(rank_before) AS rank_before, avg(rank_after) AS rank_after
    FROM probed WHERE label GROUP BY 1
) r USING (user_id)
ORDER BY c.user_id
"""


def user_changes(
    log: Log,
    run_id: str,
    users: Sequence[str],
    probes: Examples,
    before: ClickModel,
    after: ClickModel,
) -> pa.Table:
    """One row a person that visits were aimed at.

    Parameters as in :func:`footfall.eval.item_changes.item_changes`, with ``users`` for items.

    Returns
    -------
    pyarrow.Table
        ``user_id``, ``visits``, ``items`` and ``queries`` (different ones), ``typed`` and
        ``came_for`` (the most frequent five), ``probes`` (pages), ``probability_before``,
        ``probability_after``, ``rank_before`` and ``rank_after`` of what was taken: means over
        the person's probes, null without any. Rank 1 is the top.
    """
    aimed = pa.table({"user_id": pa.array(sorted(set(users)), pa.string())})
    came = log.query(_CAME, {"run": run_id, "told": _TOLD}, aimed=aimed)
    probed = probe_scores(log, probes, before, after)
    return log.query(_SCORED, {"run": run_id}, came=came, probed=probed)
