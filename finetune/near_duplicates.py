"""Synthetic rows that say again what the real log or another synthetic row says.

Two rows are about the same thing if they have the same item and ask the same: the same query up to
case, punctuation and white space; when browsing, the same shopper text instead. Below a similarity
of 1 they also ask the same where the sets of their character pairs are that much alike (Jaccard),
and all their digits are equal: ``galaxy s2`` is not ``galaxy s3``. Pairs of characters serve every
script alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from footfall.finetune.example_table import Examples
from footfall.finetune.normal_form import asked_sql, select_rows

__all__ = ["Duplicates", "find_duplicates", "merge_near_duplicates"]

Array = np.ndarray[Any, Any]

#: Quotients of small whole numbers are compared with this much room for rounding.
_ROUNDING: Final = 1e-9

# Every (item, asked) once; real ones first, then synthetic ones by their first row.
_KEYS = f"""
WITH ours AS (
    SELECT DISTINCT item_id, {asked_sql("r")} AS asked
    FROM real r SEMI JOIN synthetic USING (item_id)
), theirs AS (
    SELECT item_id, {asked_sql("s")} AS asked, min(row) AS first FROM synthetic s GROUP BY ALL
), every AS (
    SELECT item_id, asked, -1 AS first FROM ours
    UNION ALL SELECT * FROM theirs ANTI JOIN ours USING (item_id, asked)
)
SELECT row_number() OVER (ORDER BY first, item_id, asked) - 1 AS key, item_id, asked, first < 0
           AS known
FROM every ORDER BY key
"""

# Pairs of keys whose character pairs are alike enough. Two sets with Jaccard index t or more share
# one of the (n - ceil(t n) + 1) rarest members of each (prefix filter: Chaudhuri, Ganti and Kaushik
# 2006; Bayardo, Ma and Srikant 2007), and behind the rarest that they share both have enough left
# for the rest (positional filter: Xiao et al. 2008). So the pairs found are all there are.
_ALIKE = """
WITH texts AS (
    SELECT key, known, ' ' || substr(asked, 3) || ' ' AS text,
           concat_ws('/', item_id, left(asked, 1),
                     trim(regexp_replace(substr(asked, 3), '[^0-9]+', '.', 'g'), '.'))
               AS block
    FROM keys
), busy AS (
    SELECT * FROM texts SEMI JOIN (
        SELECT block FROM texts GROUP BY block HAVING count(*) > 1
    ) USING (block)
), grams AS (
    SELECT key, known, block,
           unnest(list_distinct([substr(text, n, 2) FOR n IN range(1, length(text))])) AS gram
    FROM busy
), ranked AS (
    SELECT *, count(*) OVER (PARTITION BY key) AS n,
           row_number() OVER (PARTITION BY key ORDER BY common, gram) AS place
    FROM (SELECT *, count(*) OVER (PARTITION BY gram) AS common FROM grams)
), rarest AS (
    SELECT * FROM ranked WHERE place <= n - ceil($similarity * n - $rounding) + 1
), candidates AS (
    SELECT DISTINCT a.key AS low, b.key AS high
    FROM rarest a JOIN rarest b USING (block, gram)
    WHERE a.key < b.key AND NOT (a.known AND b.known)
      AND least(a.n, b.n) >= $similarity * greatest(a.n, b.n) - $rounding
      AND 1 + least(a.n - a.place, b.n - b.place)
          >= $similarity / (1 + $similarity) * (a.n + b.n) - $rounding
), sets AS (SELECT key, list(gram) AS grams FROM grams GROUP BY key
), shared AS (
    SELECT low, high, len(list_intersect(a.grams, b.grams)) AS same,
           len(a.grams) + len(b.grams) AS total
    FROM candidates c JOIN sets a ON a.key = c.low JOIN sets b ON b.key = c.high
)
SELECT low, high FROM shared WHERE same >= ($similarity - $rounding) * (total - same)
"""

_MERGE = f"""
WITH keyed AS (
    SELECT s.row, s.label, s.weight, l.leader, l.known
    FROM (SELECT row, item_id, label, weight, {asked_sql("s")} AS asked FROM synthetic s) s
    JOIN leaders l USING (item_id, asked)
), grouped AS (
    SELECT leader, label, min(row) AS kept, count(*) AS same, sum(weight) AS weight
    FROM keyed WHERE NOT known GROUP BY leader, label
), weighed AS (
    SELECT *, (1 + ln(sum(same) OVER thing)) / sum(same) OVER thing AS factor
    FROM grouped WINDOW thing AS (PARTITION BY leader)
)
SELECT k.row, coalesce(w.kept, -1) AS kept, coalesce(w.same, 0) AS same,
       coalesce(w.weight, 0.0) AS weight, coalesce(w.factor, 1.0) AS factor
FROM keyed k LEFT JOIN weighed w ON w.leader = k.leader AND w.label = k.label AND NOT k.known
ORDER BY k.row
"""


@dataclass(frozen=True)
class Duplicates:
    """What becomes of each synthetic row, shape (rows,) each.

    ``kept_row`` is the row that stands for it (itself where it is kept), and -1 where the real log
    answers it. ``same`` counts the rows that ``kept_row`` stands for, ``weight`` is the sum of
    their weights, and ``factor`` what it is multiplied by.
    """

    kept_row: Array
    same: Array
    weight: Array
    factor: Array

    @property
    def kept(self) -> Array:
        """True for rows that are left."""
        flags: Array = self.kept_row == np.arange(len(self.kept_row))
        return flags

    @property
    def known(self) -> Array:
        """True for rows that the real log answers."""
        flags: Array = self.kept_row < 0
        return flags


def find_duplicates(real: Examples, synthetic: Examples, similarity: float = 1.0) -> Duplicates:
    """Find synthetic rows that repeat the real log or each other.

    A synthetic row about something that a real row is about is known. Of synthetic rows about the
    same thing the first of each label is left; the rows of that thing together weigh ``1 + ln n``
    instead of ``n``, shared between the labels as they were, so that merging does not change the
    response rate. Rows that are only alike join the first row that they are alike to, so that each
    is at least ``similarity`` from the row that stands for it, however long a chain of small
    changes is.
    """
    if not len(synthetic):
        nothing = np.zeros(0, np.int64)
        return Duplicates(nothing, nothing, np.zeros(0), np.zeros(0))
    numbered = synthetic.table.append_column("row", pa.array(np.arange(len(synthetic))))
    keys = select_rows(_KEYS, real=real.table, synthetic=numbered)
    leaders = np.arange(len(keys))
    known = keys["known"].to_numpy().astype(bool)
    if similarity < 1.0:
        numbers = {"similarity": similarity, "rounding": _ROUNDING}
        alike = select_rows(_ALIKE, numbers, keys=keys)
        edges = np.column_stack([alike["low"].to_numpy(), alike["high"].to_numpy()])
        leaders = _leaders(known, edges)
    named = keys.set_column(3, "known", pa.array(known[leaders])).append_column(
        "leader", pa.array(leaders)
    )
    rows = select_rows(_MERGE, synthetic=numbered, leaders=named)
    return Duplicates(*(rows[name].to_numpy() for name in ("kept", "same", "weight", "factor")))


def merge_near_duplicates(real: Examples, synthetic: Examples, similarity: float = 1.0) -> Examples:
    """Synthetic rows without those that :func:`find_duplicates` drops or merges."""
    found = find_duplicates(real, synthetic, similarity)
    kept = synthetic.take(found.kept)
    return kept.with_column("weight", (found.weight * found.factor)[found.kept])


def _leaders(known: Array, edges: Array) -> Array:
    """For each key the first key that it is alike to and that follows no other itself.

    The same as going through the keys in order, but all keys that can be decided are decided at
    once. ``edges`` has a row (low, high) a pair of keys that are alike; known keys come first.
    """
    low, high = edges.astype(np.int64).reshape(-1, 2).T
    leading = known.copy()
    open_ = ~known
    while open_.any():
        following = np.zeros(len(known), bool)
        following[high[leading[low]]] = True
        open_ &= ~following
        waiting = np.zeros(len(known), bool)
        waiting[high[open_[low]]] = True
        decided = open_ & ~waiting
        leading |= decided
        open_ &= ~decided
    leaders = np.where(leading, np.arange(len(known)), len(known))
    led = leading[low] & ~leading[high]
    np.minimum.at(leaders, high[led], low[led])
    return leaders
