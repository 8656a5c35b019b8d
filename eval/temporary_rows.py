"""Rows that a log's readers see for a while and that never reach its file.

Every statement names its tables plainly (``sessions``), and DuckDB looks into its temporary schema
first. A temporary view of that name, the stored rows and the borrowed ones together, therefore
lets every measure run unchanged on rows that exist in memory only, also in a log that is open
read-only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from footfall.simulator.schema import ARROW_SCHEMAS

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["temporary_rows"]


@contextmanager
def temporary_rows(log: Log, tables: Mapping[str, pa.Table]) -> Iterator[None]:
    """Show ``tables`` (name in the log's schema to rows) beside the stored rows inside the block.

    Columns that the rows lack are null. The log must not be written to meanwhile.
    """
    catalog = str(log.scalar("SELECT current_database()")).replace('"', '""')
    shown: list[str] = []
    try:
        for name, rows in tables.items():
            schema = ARROW_SCHEMAS[name]
            fields = [schema.field(column) for column in rows.column_names]
            borrowed = rows.cast(pa.schema(fields))
            log.execute(f"CREATE TEMP TABLE borrowed_{name} AS SELECT * FROM lent", lent=borrowed)
            shown.append(name)
            log.execute(
                f'CREATE TEMP VIEW {name} AS SELECT * FROM "{catalog}"."main"."{name}" '
                f"UNION ALL BY NAME SELECT * FROM temp.borrowed_{name}"
            )
        yield
    finally:
        for name in shown:
            log.execute(f"DROP VIEW IF EXISTS temp.{name}")
            log.execute(f"DROP TABLE IF EXISTS temp.borrowed_{name}")
