"""Fuses real and synthetic examples into one training set.

The order is: refuse synthetic rows posing as real, merge near-duplicates, choose sessions
(by_behaviour) and slates (by_diversity), cap the share, weigh (by_time, by_feature, alpha). Real
rows are never dropped. Every row keeps its ``origin``, and its ``weight`` says what it counts.
"""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from footfall.errors import DataError, EmptyLogError
from footfall.finetune.example_table import Examples
from footfall.finetune.fusion_settings import FusionSettings
from footfall.finetune.fusion_weights import density_ratio, time_decay

__all__ = ["fuse", "merge_near_duplicates"]

Array = np.ndarray[Any, Any]

# Lower case, compatibility forms folded, punctuation and runs of space made one space. No words
# are split, so that Chinese is treated like English.
_NORMAL = r"trim(regexp_replace(lower(nfc_normalize({0})), '[\s\p{{P}}\p{{S}}]+', ' ', 'g'))"


def _asked(alias: str) -> str:
    """SQL for what a row is about beside its item: the query; when browsing, the shopper."""
    query = _NORMAL.format(f"{alias}.query")
    shopper = _NORMAL.format(f"{alias}.shopper_text")
    return f"coalesce('q:' || nullif({query}, ''), 's:' || {shopper})"


_MERGE = f"""
WITH keyed AS (
    SELECT row, item_id, label, weight, {_asked("s")} AS asked FROM synthetic s
), known AS (SELECT DISTINCT item_id, {_asked("r")} AS asked FROM real r),
fresh AS (
    SELECT k.* FROM keyed k ANTI JOIN known USING (item_id, asked)
), grouped AS (
    SELECT asked, item_id, label, min(row) AS row, count(*) AS same, sum(weight) AS weight
    FROM fresh GROUP BY asked, item_id, label
)
SELECT row, weight * (1 + ln(sum(same) OVER pair)) / sum(same) OVER pair AS weight
FROM grouped WINDOW pair AS (PARTITION BY asked, item_id)
ORDER BY row
"""

# One row a session: what a session did, the same for real and synthetic rows.
_BEHAVIOUR = """
SELECT session_id, count(DISTINCT search_id) AS slates,
       sum(label::INT) AS responses,
       sum(label::INT) / count(DISTINCT search_id) AS responses_per_slate
FROM examples GROUP BY session_id
"""

_USUAL = """
WITH bounds AS (
    SELECT quantile_disc(slates, $low) AS a, quantile_disc(slates, $high) AS b,
           quantile_disc(responses, $low) AS c, quantile_disc(responses, $high) AS d,
           quantile_disc(responses_per_slate, $low) AS e,
           quantile_disc(responses_per_slate, $high) AS f
    FROM usual
)
SELECT o.session_id FROM odd o, bounds
WHERE o.slates BETWEEN a AND b AND o.responses BETWEEN c AND d
  AND o.responses_per_slate BETWEEN e AND f
"""

# How new a slate's words are: the mean over its character shingles of 1 / (how many slates had the
# shingle before it, in seeded order, plus one). Shingles of characters work without spaces.
_NOVELTY = f"""
WITH texts AS (
    SELECT search_id, md5($seed || '/' || search_id) AS turn,
           {
    _NORMAL.format(
        "coalesce(any_value(query), '') || ' ' || coalesce(string_agg("
        "CASE WHEN label THEN item_text END, ' ' ORDER BY row), "
        "string_agg(item_text, ' ' ORDER BY row), '')"
    )
} AS text
    FROM synthetic GROUP BY search_id
), shingles AS (
    SELECT search_id, turn,
           unnest(list_distinct([substr(text, n, 3)
                                 FOR n IN range(1, greatest(length(text) - 1, 2))])) AS shingle
    FROM texts
), seen AS (
    SELECT search_id, turn,
           1.0 / row_number() OVER (PARTITION BY shingle ORDER BY turn, search_id) AS novelty
    FROM shingles
)
SELECT search_id, avg(novelty) AS novelty FROM seen
GROUP BY search_id, turn ORDER BY novelty DESC, turn, search_id
"""


def fuse(real: Examples, synthetic: Examples, settings: FusionSettings) -> Examples:
    """Join real and synthetic examples.

    * **near-duplicates**: see :func:`merge_near_duplicates`.
    * **by_behaviour**: keeps synthetic sessions whose slates, responses, and responses per slate
      lie between the real sessions' lower and upper quantiles.
    * **by_diversity**: keeps the ``keep_share`` of slates whose texts repeat others least.
    * **by_time**: real rows decay with age at the half-life; synthetic rows stand at the end of
      the real part (age 0). The mean weight of real rows stays what it was.
    * **by_feature**: synthetic rows are weighed by a clipped density ratio, real over synthetic,
      over all numeric features except the item's own popularity: where an item is new is where
      synthetic rows are wanted, so being there must not count against them. Mean 1.
    * **cap**: whole slates are dropped until synthetic rows are at most ``max_share`` of all; of
      slates, those by_diversity ranks last, else a seeded choice.
    * **alpha** multiplies the weights of the synthetic rows; 0 returns the real rows.

    Parameters
    ----------
    real:
        Rows of the real log, of the training part.
    synthetic:
        Rows of runs, read with the same ``until``.
    settings:
        Strategy and numbers.

    Returns
    -------
    footfall.finetune.example_table.Examples
    --------
        All real rows in their order, then the synthetic rows that are left.

    Raises
    ------
    EmptyLogError
        If there are no real rows.
    DataError
        If a synthetic row says that it is real, or the other way round.
    """
    _check(real, synthetic)
    decay = time_decay(real, settings.half_life_days) if settings.uses("by_time") else None
    weighed = real
    if decay is not None:
        weighed = real.with_column("weight", real.weights * decay.real)
    if settings.alpha == 0 or not len(synthetic):
        return weighed
    kept = _choose(real, synthetic, settings)
    if not len(kept):
        return weighed
    weights = kept.weights * settings.alpha
    if settings.uses("by_feature"):
        weights = weights * density_ratio(real, kept, settings.max_feature_weight)
    if decay is not None:
        weights = weights * decay.newest
    return Examples.concat([weighed, kept.with_column("weight", weights)])


def merge_near_duplicates(real: Examples, synthetic: Examples) -> Examples:
    """Drop synthetic rows that the real log answers, and merge those that repeat each other.

    Two rows are about the same thing if they have the same item and the same query up to case,
    punctuation and white space; when browsing, the same shopper text instead. A synthetic row
    about something that a real row is about is dropped. Of synthetic rows about the same thing
    one row a label is left; the rows of that thing together weigh ``1 + ln n`` instead of ``n``,
    shared between the labels as they were, so that merging does not change the response rate.
    """
    if not len(synthetic):
        return synthetic
    rows = _select(_MERGE, real=real.table, synthetic=_numbered(synthetic))
    kept = synthetic.take(rows["row"].to_numpy())
    return kept.with_column("weight", rows["weight"].to_numpy())


def _check(real: Examples, synthetic: Examples) -> None:
    if not len(real):
        raise EmptyLogError(
            "There are no real examples to fuse with.",
            hint="Train on synthetic rows alone without fuse, or read real ones first.",
        )
    if real.synthetic.any():
        raise DataError("The real examples hold synthetic rows (origin).")
    if not synthetic.synthetic.all():
        raise DataError(
            "The synthetic examples hold real rows (origin).",
            hint="Read them with origins=[the run's id].",
        )


def _choose(real: Examples, synthetic: Examples, settings: FusionSettings) -> Examples:
    kept = synthetic
    if settings.drop_duplicates:
        kept = merge_near_duplicates(real, kept)
    if settings.uses("by_behaviour") and len(kept):
        # Judged on the sessions as they were, before merging thinned them.
        kept = kept.take(_member(kept, "session_id", _usual_sessions(real, synthetic, settings)))
    order = _seeded_order(kept, settings.seed)
    if settings.uses("by_diversity") and len(kept):
        ranked = _select(_NOVELTY, {"seed": str(settings.seed)}, synthetic=_numbered(kept))
        order = ranked["search_id"].to_pylist()
        order = order[: max(1, round(settings.keep_share * len(order)))]
    return _capped(kept, order, len(real), settings.max_share)


def _usual_sessions(real: Examples, synthetic: Examples, settings: FusionSettings) -> list[str]:
    bounds = {"low": settings.behaviour_low, "high": settings.behaviour_high}
    usual = _select(_BEHAVIOUR, examples=real.table)
    odd = _select(_BEHAVIOUR, examples=synthetic.table)
    sessions: list[str] = _select(_USUAL, bounds, usual=usual, odd=odd)["session_id"].to_pylist()
    return sessions


def _seeded_order(examples: Examples, seed: int) -> list[str]:
    searches: list[str] = sorted(set(examples.table["search_id"].to_pylist()))
    order = np.random.default_rng(seed).permutation(len(searches))
    return [searches[number] for number in order]


def _capped(examples: Examples, order: list[str], real_rows: int, share: float) -> Examples:
    """Whole slates in the given order while they fit under the cap, rows in their old order."""
    allowed = int(real_rows * share / (1.0 - share))
    slates = pa.table({"search_id": pa.array(order, pa.string()), "rank": np.arange(len(order))})
    fits = _select(
        "WITH sizes AS (SELECT o.search_id, o.rank, count(*) AS n FROM slates o "
        "JOIN synthetic s USING (search_id) GROUP BY ALL) "
        "SELECT search_id FROM sizes QUALIFY sum(n) OVER (ORDER BY rank) <= $allowed",
        {"allowed": allowed},
        slates=slates,
        synthetic=examples.table,
    )
    return examples.take(_member(examples, "search_id", fits["search_id"].to_pylist()))


def _member(examples: Examples, column: str, values: list[str]) -> Array:
    import pyarrow.compute as pc

    flags: Array = pc.is_in(
        examples.table[column], value_set=pa.array(values, pa.string())
    ).to_numpy()
    return flags.astype(bool)


def _numbered(examples: Examples) -> pa.Table:
    return examples.table.append_column("row", pa.array(np.arange(len(examples))))


def _select(sql: str, parameters: dict[str, Any] | None = None, **tables: pa.Table) -> pa.Table:
    """Answer SQL over Arrow tables in memory."""
    with duckdb.connect(config={"threads": 2}) as connection:
        for name, table in tables.items():
            connection.register(name, table)
        return connection.sql(sql, params=parameters).to_arrow_table()
