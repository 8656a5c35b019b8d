"""Patterns for the query prompt, taken from the shop's own log or, failing that, catalogue."""

from __future__ import annotations

from datetime import datetime

from footfall.simulator.catalog import utc_moment
from footfall.simulator.language import locale_script
from footfall.simulator.log import Log
from footfall.simulator.needs import CATEGORY_SEPARATOR
from footfall.simulator.prompts import QueryExample

__all__ = ["read_query_examples"]

#: Japanese mixes three scripts; all others are named by Unicode as they are here.
_CLASSES = {"Kana": r"\p{Han}\p{Hiragana}\p{Katakana}"}


def read_query_examples(
    log: Log,
    *,
    until: datetime | None = None,
    count: int = 4,
    seed: int = 0,
    locale: str | None = None,
) -> tuple[QueryExample, ...]:
    """Item texts with the real queries that led to them; with their category where none did.

    Parameters
    ----------
    log:
        The log; its real queries before ``until`` are looked at.
    until:
        Where the evaluation begins.
    count:
        How many, 0 for none. Too few queries in the log: all from the catalogue.
    seed:
        Chooses among them, by a hash.
    locale:
        The shopper's: of a log of several scripts, examples in the locale's own come first.
    """
    script = "" if locale is None else locale_script(locale)
    rows = log.query(
        """
        SELECT DISTINCT ON (query) query, items.text AS wanted
        FROM searches JOIN impressions USING (search_id) JOIN items USING (item_id)
        WHERE searches.origin = 'real' AND query IS NOT NULL AND (clicked OR purchased)
          AND ($until IS NULL OR searched_at < $until) AND length(query) BETWEEN 2 AND 40
        ORDER BY query, md5(search_id || $seed), item_id
        """,
        {"until": utc_moment(until), "seed": str(seed)},
    )
    if rows.num_rows >= count:
        rows = log.query(
            f"SELECT * FROM examples ORDER BY {_foreign('query', script)}, "
            "md5(query || $seed), query LIMIT $count",
            {"seed": str(seed), "count": count},
            examples=rows,
        )
        return tuple(QueryExample(row["wanted"], row["query"]) for row in rows.to_pylist())
    rows = log.query(
        f"""
        SELECT text AS wanted, category FROM items
        WHERE category IS NOT NULL AND length(text) BETWEEN 4 AND 80
        ORDER BY {_foreign("category", script)}, md5(item_id || $seed), item_id LIMIT $count
        """,
        {"seed": str(seed), "count": count},
    )
    return tuple(
        QueryExample(row["wanted"], row["category"].split(CATEGORY_SEPARATOR)[-1].lower())
        for row in rows.to_pylist()
    )


def _foreign(column: str, script: str) -> str:
    """SQL: whether half the letters of ``column`` or more are not of ``script``.

    Numbers are in no script: else a shop in Chinese would show its Russian shoppers numbers only.
    """
    if not script:
        return f"{column} IS NULL"
    own = _CLASSES.get(script, rf"\p{{{script}}}")
    letters = rf"length(regexp_replace({column}, '\P{{L}}', '', 'g'))"
    ours = rf"length(regexp_replace({column}, '[^{own}]', '', 'g'))"
    return f"2 * {ours} <= {letters}"
