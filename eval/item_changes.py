"""What aimed visits changed for each item: who met it, with which words, and how it is scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from footfall.finetune.click_model import ClickModel
    from footfall.finetune.example_table import Examples
    from footfall.simulator.log import Log

__all__ = ["item_changes", "probe_scores"]

#: Words and neighbours that are told of each item.
_TOLD: Final = 5

_MET = """
WITH visits AS (
    SELECT s.search_id, e.session_id, e.user_id, lower(trim(s.query)) AS query
    FROM searches s JOIN sessions e USING (session_id) WHERE s.origin = $run
), taken AS (
    SELECT v.*, i.item_id FROM visits v JOIN impressions i USING (search_id)
    JOIN aimed USING (item_id) WHERE coalesce(i.clicked, i.purchased)
), asked AS (
    SELECT item_id, query, count(*) AS n FROM taken WHERE query IS NOT NULL GROUP BY ALL
), beside AS (
    SELECT t.item_id, o.item_id AS other, count(*) AS n
    FROM taken t JOIN impressions o ON o.search_id = t.search_id AND o.item_id <> t.item_id
    GROUP BY ALL
), counts AS (
    SELECT item_id, count(*) AS visits, count(DISTINCT user_id) AS shoppers,
           count(DISTINCT query) AS queries
    FROM taken GROUP BY item_id
), described AS (
    SELECT user_id, origin, from_json(demographics, '"MAP(VARCHAR, VARCHAR)"') AS told
    FROM users WHERE demographics <> '{}' AND origin IN ('real', $run)
), traits AS (
    SELECT user_id, origin, each.key || ': ' || each.value AS trait
    FROM (SELECT user_id, origin, unnest(map_entries(told)) AS each FROM described)
), usual AS (
    SELECT trait, count(*) / (SELECT count(*) FROM described WHERE origin = 'real') AS share
    FROM traits WHERE origin = 'real' GROUP BY trait
), met_by AS (
    SELECT DISTINCT item_id, user_id FROM taken SEMI JOIN described USING (user_id)
), own AS (
    SELECT item_id, trait, count(*) / any_value(people) AS share FROM met_by
    JOIN (SELECT item_id, count(*) AS people FROM met_by GROUP BY item_id) USING (item_id)
    JOIN traits USING (user_id) GROUP BY item_id, trait
), who AS (
    SELECT item_id, list(trait ORDER BY excess DESC, trait)[1:$told] AS shoppers_are
    FROM (SELECT o.item_id, o.trait, o.share - coalesce(u.share, 0) AS excess
          FROM own o LEFT JOIN usual u USING (trait))
    WHERE excess > 0 GROUP BY item_id
), words AS (
    SELECT item_id, list(query ORDER BY n DESC, query)[1:$told] AS typed FROM asked GROUP BY item_id
), near AS (
    SELECT beside.item_id, list(text ORDER BY n DESC, other)[1:$told] AS shown_beside
    FROM beside JOIN items ON items.item_id = beside.other GROUP BY beside.item_id
)
SELECT a.item_id, i.text, i.category, coalesce(c.visits, 0) AS visits,
       coalesce(c.shoppers, 0) AS shoppers, coalesce(p.shoppers_are, []) AS shoppers_are,
       coalesce(c.queries, 0) AS queries,
       coalesce(w.typed, []) AS typed, coalesce(n.shown_beside, []) AS shown_beside
FROM aimed a JOIN items i USING (item_id) LEFT JOIN counts c USING (item_id)
LEFT JOIN words w USING (item_id) LEFT JOIN near n USING (item_id) LEFT JOIN who p USING (item_id)
ORDER BY a.item_id
"""

_RANKED = """
SELECT *, rank() OVER (PARTITION BY search_id ORDER BY before DESC) AS rank_before,
       rank() OVER (PARTITION BY search_id ORDER BY after DESC) AS rank_after
FROM probed
"""

_SCORED = """
SELECT m.*, r.probes, r.probability_before, r.probability_after, r.rank_before, r.rank_after
FROM met m LEFT JOIN (
    SELECT item_id, count(*) AS probes, avg(before) AS probability_before,
           avg(after) AS probability_after, avg(rank_before) AS rank_before,
           avg(rank_after) AS rank_after
    FROM probed WHERE label GROUP BY item_id
) r USING (item_id)
ORDER BY m.item_id
"""


def item_changes(
    log: Log,
    run_id: str,
    items: Sequence[str],
    probes: Examples,
    before: ClickModel,
    after: ClickModel,
) -> pa.Table:
    """One row an item that visits were aimed at.

    Parameters
    ----------
    log:
        The log that holds the run.
    run_id:
        The run of aimed visits.
    items:
        What they were aimed at.
    probes:
        Rows of visits that neither model was trained on. They are simulated: what they tell is
        how the models differ, not whether the difference is right.
    before, after:
        The model of the real rows, and that of the fused ones.

    Returns
    -------
    pyarrow.Table
        ``item_id``, ``text``, ``category``, ``visits``, ``shoppers`` (different ones),
        ``shoppers_are`` (the five values of demographics that these have most above their share
        among the log's people), ``queries`` (different ones), ``typed`` and ``shown_beside`` (the
        most frequent five),
        ``probes`` (pages), ``probability_before``, ``probability_after``, ``rank_before`` and
        ``rank_after``: means over the item's probes, null without any. Rank 1 is the top.
    """
    aimed = pa.table({"item_id": pa.array(sorted(set(items)), pa.string())})
    met = log.query(_MET, {"run": run_id, "told": _TOLD}, aimed=aimed)
    return log.query(_SCORED, met=met, probed=probe_scores(log, probes, before, after))


def probe_scores(log: Log, probes: Examples, before: ClickModel, after: ClickModel) -> pa.Table:
    """Probabilities and ranks of two models on the same rows.

    ``search_id``, ``user_id``, ``item_id``, ``label``, ``before``, ``after``, ``rank_before`` and
    ``rank_after``; rank 1 is the top of the search.
    """
    columns = probes.table.select(["search_id", "user_id", "item_id", "label"])
    probed = columns.append_column("before", _column(before, probes)).append_column(
        "after", _column(after, probes)
    )
    return log.query(_RANKED, probed=probed)


def _column(model: ClickModel, rows: Examples) -> Any:
    return pa.array(np.asarray(model.predict_proba(rows), np.float64))
