"""One row an item shown (or bought without a recorded page), with what was known of the shopper."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from footfall.errors import SettingError

__all__ = ["LONGEST_HISTORY", "SHOWN_ITEM_SCHEMA", "check_history", "shown_items_sql"]

#: Items of a shopper's history that a row holds, unless it is said otherwise.
LONGEST_HISTORY: Final = 20

#: What :func:`shown_items_sql` selects. ``shown_at``: of the row, else of its page, else of its
#: session. ``history``: ids of items that the shopper took (bought, put into the cart, clicked)
#: before ``shown_at`` in rows of the same origin, newest last. ``shown`` is false for a purchase
#: that no recorded page led to.
SHOWN_ITEM_SCHEMA: Final = pa.schema(
    [
        ("origin", pa.string()),
        ("user_id", pa.string()),
        ("locale", pa.string()),
        ("session_id", pa.string()),
        ("search_id", pa.string()),
        ("step", pa.int32()),
        ("page", pa.int32()),
        ("query", pa.string()),
        ("answered_by", pa.string()),
        ("candidates", pa.string()),
        ("position", pa.int32()),
        ("item_id", pa.string()),
        ("item_text", pa.string()),
        ("item_category", pa.string()),
        ("item_brand", pa.string()),
        ("price", pa.float64()),
        ("clicked", pa.bool_()),
        ("carted", pa.bool_()),
        ("purchased", pa.bool_()),
        ("shown_at", pa.timestamp("us")),
        ("sample_rate", pa.float64()),
        ("score", pa.float64()),
        ("shown", pa.bool_()),
        ("history", pa.list_(pa.string())),
    ]
)

_PAGES: Final = """
pages AS (
    SELECT i.origin, v.user_id, v.session_id, i.search_id, p.step, p.page, p.query, p.answered_by,
           p.candidates, i.position, i.item_id, i.price, i.clicked, i.carted, i.purchased,
           coalesce(i.shown_at, p.searched_at, v.started_at) AS shown_at,
           coalesce(i.purchased_at, i.clicked_at, i.shown_at, p.searched_at, v.started_at)
               AS taken_at,
           i.sample_rate, i.score, TRUE AS shown
    FROM impressions i JOIN searches p USING (search_id)
    JOIN sessions v ON v.session_id = p.session_id
)"""

# A purchase is told twice where its page was recorded: once as the page's response.
_BASKETS: Final = """
baskets AS (
    SELECT b.origin, b.user_id, b.session_id, NULL::VARCHAR AS search_id, NULL::INTEGER AS step,
           NULL::INTEGER AS page, NULL::VARCHAR AS query, NULL::VARCHAR AS answered_by,
           NULL::VARCHAR AS candidates, NULL::INTEGER AS position, b.item_id,
           CASE WHEN b.quantity > 0 AND isfinite(b.amount) THEN b.amount / b.quantity END AS price,
           NULL::BOOLEAN AS clicked, NULL::BOOLEAN AS carted, TRUE AS purchased,
           b.purchased_at AS shown_at, b.purchased_at AS taken_at,
           1.0::DOUBLE AS sample_rate, NULL::DOUBLE AS score, FALSE AS shown
    FROM purchases b
    ANTI JOIN (SELECT session_id, item_id, origin FROM pages WHERE purchased) known
    ON known.session_id = b.session_id AND known.item_id = b.item_id AND known.origin = b.origin
)"""

# The row of a moment that comes last in the window holds all that was taken up to that moment.
_TAKEN: Final = """
taken AS (
    SELECT origin, user_id, taken_at AS known_from,
           list({taken}) OVER newest AS history
    FROM (SELECT origin, user_id, taken_at, item_id FROM pages
          WHERE (clicked OR carted OR purchased) AND taken_at IS NOT NULL
          UNION ALL
          SELECT origin, user_id, taken_at, item_id FROM baskets WHERE taken_at IS NOT NULL)
    WINDOW newest AS (PARTITION BY origin, user_id ORDER BY taken_at, item_id
                      ROWS BETWEEN {before} PRECEDING AND CURRENT ROW)
    QUALIFY row_number() OVER (PARTITION BY origin, user_id, taken_at
                               ORDER BY item_id DESC) = 1
)"""

_ROWS: Final = """
SELECT r.origin, r.user_id, u.locale, r.session_id, r.search_id, r.step, r.page, r.query,
       r.answered_by, r.candidates, r.position, r.item_id, t.text AS item_text,
       t.category AS item_category, t.brand AS item_brand,
       CASE WHEN isfinite(coalesce(r.price, t.price)) THEN coalesce(r.price, t.price) END AS price,
       r.clicked, r.carted, r.purchased, r.shown_at, r.sample_rate, r.score, r.shown,
       {history} AS history
FROM ({rows}) r
LEFT JOIN users u ON u.user_id = r.user_id
LEFT JOIN items t ON t.item_id = r.item_id
{taken}
"""

_KNOWN: Final = """
ASOF LEFT JOIN taken k
ON k.origin = r.origin AND k.user_id = r.user_id AND k.known_from < r.shown_at"""


def check_history(history: int) -> None:
    """Refuse a negative length of history.

    Raises
    ------
    SettingError
        If it is negative.
    """
    if history < 0:
        raise SettingError(f"history: {history} is below 0.", hint="0 leaves histories empty.")


def shown_items_sql(
    *, history: int = LONGEST_HISTORY, baskets: bool = False, taken: str = "item_id"
) -> str:
    """A SELECT of the columns of :data:`SHOWN_ITEM_SCHEMA`.

    Parameters
    ----------
    history:
        Most items in a row's history.
    baskets:
        Also purchases that no recorded page led to.
    taken:
        SQL of ``item_id``: what a history holds of each item.
    """
    rows = "FROM pages" + (" UNION ALL FROM baskets" if baskets else "")
    if not history:
        body = _ROWS.format(history="[]::VARCHAR[]", rows=rows, taken="")
        return f"WITH {_PAGES}, {_BASKETS} {body}"
    body = _ROWS.format(
        history="coalesce(k.history, []::VARCHAR[])",
        rows=rows,
        taken=_KNOWN,
    )
    known = _TAKEN.format(before=history - 1, taken=taken)
    return f"WITH {_PAGES}, {_BASKETS}, {known} {body}"
