"""What two spellings of one text share, in SQL; and SQL over tables in memory.

Lower case, compatibility forms folded, punctuation and runs of space made one space. No words are
split, so that Chinese is treated like English.
"""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa

__all__ = ["asked_sql", "normal_sql", "select_rows"]


def normal_sql(text: str) -> str:
    """SQL for the normal form of the SQL expression ``text``."""
    return rf"trim(regexp_replace(lower(nfc_normalize({text})), '[\s\p{{P}}\p{{S}}]+', ' ', 'g'))"


def asked_sql(alias: str) -> str:
    """SQL for what a row is about beside its item: the query; when browsing, the shopper."""
    query = normal_sql(f"{alias}.query")
    shopper = normal_sql(f"coalesce({alias}.shopper_text, '')")
    return f"coalesce('q:' || nullif({query}, ''), 's:' || {shopper})"


def select_rows(sql: str, parameters: dict[str, Any] | None = None, **tables: pa.Table) -> pa.Table:
    """Answer SQL over Arrow tables in memory; every keyword names a table."""
    with duckdb.connect(config={"threads": 2}) as connection:
        for name, table in tables.items():
            connection.register(name, table)
        return connection.sql(sql, params=parameters).to_arrow_table()
