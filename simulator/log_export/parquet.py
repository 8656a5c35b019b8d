"""The tables of a log as Parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from footfall.simulator.schema import TABLES

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["write_parquet", "write_tables"]


def write_tables(log: Log, folder: Path) -> dict[str, int]:
    """Write ``<folder>/<table>.parquet`` for every table; rows of each file.

    The log's tables stand for the chosen rows.
    """
    return {
        f"{table}.parquet": write_parquet(log, f"FROM {table}", folder / f"{table}.parquet")
        for table in TABLES
    }


def write_parquet(log: Log, source: str, path: Path) -> int:
    """Stream the rows of a SELECT into a Parquet file (zstd); how many there were."""
    place = str(path).replace("'", "''")
    log.execute(f"COPY ({source}) TO '{place}' (FORMAT parquet, COMPRESSION zstd)")
    return int(pq.ParquetFile(path).metadata.num_rows)
