"""Which synthetic sessions and slates are taken: by behaviour, by diversity, up to the cap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from footfall.finetune.example_table import Examples
from footfall.finetune.fusion_settings import FusionSettings
from footfall.finetune.normal_form import normal_sql, select_rows

__all__ = ["diverse_slates", "fitting_slates", "rows_in", "seeded_slates", "usual_sessions"]

Array = np.ndarray[Any, Any]

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

_SLATE_TEXT = normal_sql(
    "coalesce(any_value(query), '') || ' ' || coalesce(string_agg("
    "CASE WHEN label THEN item_text END, ' ' ORDER BY row), "
    "string_agg(item_text, ' ' ORDER BY row), '')"
)

# How new a slate's words are: the mean over its character shingles of 1 / (how many slates had the
# shingle before it, in seeded order, plus one). Shingles of characters work without spaces.
_NOVELTY = f"""
WITH texts AS (
    SELECT search_id, md5($seed || '/' || search_id) AS turn, {_SLATE_TEXT} AS text
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

_FITTING = """
WITH sizes AS (
    SELECT o.search_id, o.rank, count(*) AS n FROM slates o
    JOIN synthetic s USING (search_id) GROUP BY ALL
)
SELECT search_id FROM sizes QUALIFY sum(n) OVER (ORDER BY rank) <= $allowed
"""


def usual_sessions(real: Examples, synthetic: Examples, settings: FusionSettings) -> list[str]:
    """Synthetic sessions whose slates, responses and responses a slate real sessions have too.

    Within the quantiles ``behaviour_low`` and ``behaviour_high`` of the real sessions.
    """
    bounds = {"low": settings.behaviour_low, "high": settings.behaviour_high}
    usual = select_rows(_BEHAVIOUR, examples=real.table)
    odd = select_rows(_BEHAVIOUR, examples=synthetic.table)
    sessions: list[str] = select_rows(_USUAL, bounds, usual=usual, odd=odd)[
        "session_id"
    ].to_pylist()
    return sessions


def seeded_slates(examples: Examples, seed: int) -> list[str]:
    """All slates in an order that only the seed and their ids decide."""
    searches: list[str] = sorted(set(examples.table["search_id"].to_pylist()))
    order = np.random.default_rng(seed).permutation(len(searches))
    return [searches[number] for number in order]


def diverse_slates(synthetic: Examples, settings: FusionSettings) -> list[str]:
    """The ``keep_share`` of slates whose texts repeat others least, those with newest words first.

    At least one, where there are any.
    """
    numbered = synthetic.table.append_column("row", pa.array(np.arange(len(synthetic))))
    ranked = select_rows(_NOVELTY, {"seed": str(settings.seed)}, synthetic=numbered)
    order: list[str] = ranked["search_id"].to_pylist()
    return order[: max(1, round(settings.keep_share * len(order)))]


def fitting_slates(examples: Examples, order: list[str], real_rows: int, share: float) -> list[str]:
    """The first slates of ``order`` whose rows are at most ``share`` of all rows; all at 1."""
    if share == 1:
        return order
    slates = pa.table({"search_id": pa.array(order, pa.string()), "rank": np.arange(len(order))})
    fitting: list[str] = select_rows(
        _FITTING,
        {"allowed": int(real_rows * share / (1.0 - share))},
        slates=slates,
        synthetic=examples.table,
    )["search_id"].to_pylist()
    return fitting


def rows_in(examples: Examples, column: str, values: list[str]) -> Array:
    """True for rows whose ``column`` is among ``values``, shape (rows,)."""
    flags: Array = pc.is_in(
        examples.table[column], value_set=pa.array(values, pa.string())
    ).to_numpy()
    return flags.astype(bool)
