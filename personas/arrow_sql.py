"""SQL over Arrow tables in memory."""

from __future__ import annotations

import duckdb
import pyarrow as pa

__all__ = ["select"]


def select(sql: str, **tables: pa.Table) -> pa.Table:
    """Answer ``sql``, in which every keyword names a table."""
    with duckdb.connect() as connection:
        for name, table in tables.items():
            connection.register(name, table)
        return connection.sql(sql).to_arrow_table()
