"""The DuckDB file under a log: opening it, its version, and what DuckDB's errors mean."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb

from footfall.errors import (
    DataError,
    FootfallError,
    LogError,
    LogFullError,
    LogLockedError,
    LogVersionError,
)
from footfall.simulator.migrations import migrate, plan
from footfall.simulator.schema import APPLICATION, SCHEMA_VERSION

__all__ = ["check_version", "connect", "translated"]

_FULL = re.compile(r"no space left|disk quota|max_temp_directory_size|file too large", re.I)
_HOLDER = re.compile(r"lock is held in (?P<program>.*?) \(PID (?P<pid>\d+)\)")


def connect(
    path: Path, *, read_only: bool, memory_limit: str, threads: int
) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file, made if missing unless ``read_only``; errors as :func:`translated`."""
    settings: dict[str, Any] = {
        "memory_limit": memory_limit,
        "threads": threads,
        "temp_directory": f"{path}.tmp",
        # Extensions would be fetched from the network in the middle of a query.
        "autoinstall_known_extensions": False,
        # A misspelt table must not turn into a Python variable of the caller.
        "python_enable_replacements": False,
    }
    try:
        connection = duckdb.connect(str(path), read_only=read_only, config=settings)
    except duckdb.Error as error:
        raise translated(error, path) from error
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    return connection


def check_version(connection: duckdb.DuckDBPyConnection, path: Path, *, read_only: bool) -> None:
    """Refuse what is no log of a usable version; migrate an older one unless ``read_only``."""
    try:
        meta = dict(connection.execute("SELECT key, value FROM footfall_meta").fetchall())
    except duckdb.CatalogException:
        meta = {}
    stored = meta.get("schema_version", "")
    if meta.get("application") != APPLICATION or not stored.isdigit():
        raise LogVersionError(
            f"{path} is a DuckDB file of another program, not a Footfall log.",
            hint="Name a log made by `footfall ingest` or `footfall simulate`.",
        )
    steps = plan(int(stored), target=SCHEMA_VERSION)
    if not steps:
        return
    if read_only:
        raise LogVersionError(
            f"{path} has schema version {stored}; this Footfall reads version {SCHEMA_VERSION}.",
            hint="Open it once for writing, Log.open(path, read_only=False), to migrate it.",
        )
    migrate(connection, int(stored), target=SCHEMA_VERSION)


def translated(error: duckdb.Error, path: Path) -> FootfallError:
    """Return the error of ours that says what DuckDB's means."""
    text = str(error).strip()
    first = text.splitlines()[0] if text else type(error).__name__
    holder = _HOLDER.search(text)
    if holder:
        return LogLockedError(
            f"{path} is held by another process: {holder['program']} (PID {holder['pid']}).",
            hint="Wait until it ends. The process that holds the file can write a Parquet snapshot "
            "for others to read (`Log.snapshot`).",
        )
    if "different configuration" in text or "Could not set lock" in text:
        return LogLockedError(
            f"{path} is open already: {first}.",
            hint="Close the other use of it in this process, or read a snapshot.",
        )
    if isinstance(error, duckdb.OutOfMemoryException) or _FULL.search(text):
        return LogFullError(
            f"{path}: no room left to go on: {first}.",
            hint="Everything committed is kept. Free disk space or raise memory_limit, and resume.",
        )
    if "not a valid DuckDB" in text or isinstance(error, duckdb.SerializationException):
        return LogVersionError(
            f"{path} is not a DuckDB file that this version can read: {first}.",
            hint="Name a log made by `footfall ingest` or `footfall simulate`.",
        )
    if isinstance(error, duckdb.ConstraintException | duckdb.ConversionException):
        return DataError(f"{path}: the rows do not fit the table: {first}.", hint="")
    return LogError(f"{path}: {first}.", hint="")
