"""Drawing items that were not responded to, without listing every exposure.

A visit to a shop with 1,500 items on display is 1,500 exposures; 88,000 visits are tens of
millions. Instead of writing them down and sampling, the items of each pool are numbered and a few
numbers are drawn per visit by a hash of seed, visit and draw. MD5 is used because its value, unlike
DuckDB's ``hash``, is the same in every version and on every machine. Weights are whole numbers, so
sums do not depend on the order in which threads add them.
"""

from __future__ import annotations

from footfall.simulator.log import Log

__all__ = ["draw_others"]


def draw_others(log: Log, *, count: int, seed: int, weighted: bool) -> None:
    """Draw up to ``count`` distinct items per target that the target has not taken.

    Reads the temporary tables ``pool_items`` (pool, item_id, weight: whole number of at least 1;
    no item twice in a pool), ``targets`` (target, pool) and ``taken`` (target, item_id). Makes
    ``drawn`` (target, item_id, draw, sample_rate), where ``draw`` counts from 1 within a target and
    ``sample_rate`` is drawn items over eligible items.

    Parameters
    ----------
    log:
        A log open for writing.
    count:
        Items per target; fewer where a pool has fewer.
    seed:
        Same seed, same items.
    weighted:
        Whether ``weight`` counts; otherwise all items of a pool are alike.
    """
    draws = 2 * count + 8
    log.execute(_NUMBERED_WEIGHTED if weighted else _NUMBERED)
    log.execute(
        "CREATE OR REPLACE TEMP TABLE pools AS "
        "SELECT pool, count(*) AS size, max(bound) AS total FROM numbered GROUP BY pool"
    )
    # In a small pool repeated draws would often run short: there every item is ranked instead.
    parameters = {"seed": str(seed), "draws": draws, "small": 4 * draws, "count": count}
    log.execute(_DRAWS.format(match=_BY_WEIGHT if weighted else _BY_NUMBER), parameters)
    log.execute(_RANKED, {name: parameters[name] for name in ("seed", "small")})
    log.execute(_CHOSEN, {"count": count})
    for table in ("numbered", "pools", "candidate_draws"):
        log.execute(f"DROP TABLE {table}")


_NUMBERED = """
CREATE OR REPLACE TEMP TABLE numbered AS
SELECT pool, item_id, 1 AS weight,
    row_number() OVER (PARTITION BY pool ORDER BY item_id) AS bound
FROM pool_items
"""
_NUMBERED_WEIGHTED = """
CREATE OR REPLACE TEMP TABLE numbered AS
SELECT pool, item_id, weight,
    (sum(weight) OVER (
        PARTITION BY pool ORDER BY item_id ROWS UNBOUNDED PRECEDING))::BIGINT AS bound
FROM pool_items
"""
_BY_NUMBER = "JOIN numbered ON numbered.pool = picks.pool AND numbered.bound = picks.pick"
_BY_WEIGHT = "ASOF JOIN numbered ON numbered.pool = picks.pool AND numbered.bound >= picks.pick"
_DRAWS = """
CREATE OR REPLACE TEMP TABLE candidate_draws AS
WITH picks AS (
    SELECT targets.target, targets.pool, number AS preference,
        1 + (md5_number_lower(concat_ws('|', $seed, targets.target, number)) % pools.total::UBIGINT)
            ::BIGINT AS pick
    FROM targets JOIN pools USING (pool), range($draws) AS draws(number)
    WHERE pools.size > $small
)
SELECT picks.target, numbered.item_id, min(picks.preference)::DOUBLE AS preference
FROM picks {match}
WHERE $count > 0
GROUP BY ALL
"""
# Exponential keys rank without replacement in proportion to the weights.
_RANKED = """
INSERT INTO candidate_draws
SELECT target, item_id,
    -ln((md5_number_lower(concat_ws('|', $seed, target, item_id)) + 0.5) / 18446744073709551616.0)
        / weight
FROM targets JOIN pools USING (pool) JOIN numbered USING (pool)
WHERE pools.size <= $small
"""
_CHOSEN = """
CREATE OR REPLACE TEMP TABLE drawn AS
WITH chosen AS (
    SELECT *, row_number() OVER (PARTITION BY target ORDER BY preference, item_id) AS draw
    FROM candidate_draws ANTI JOIN taken USING (target, item_id)
    QUALIFY draw <= $count
), eligible AS (
    SELECT targets.target, any_value(pools.size) - count(numbered.item_id) AS items
    FROM targets JOIN pools USING (pool)
    LEFT JOIN taken USING (target)
    LEFT JOIN numbered ON numbered.pool = targets.pool AND numbered.item_id = taken.item_id
    GROUP BY targets.target
)
SELECT chosen.target, chosen.item_id, chosen.draw,
    count(*) OVER (PARTITION BY chosen.target) / eligible.items AS sample_rate
FROM chosen JOIN eligible USING (target)
"""
