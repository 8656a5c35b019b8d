"""Building a log beside its final name, so that a half-written one is never taken for whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from footfall.errors import LogError, LogLockedError
from footfall.simulator.log import Log

__all__ = ["building"]


@contextmanager
def building(path: Path, *, memory_limit: str, threads: int) -> Iterator[Log]:
    """Lend a new log at ``<path>.partial``; rename it to ``path`` when the block ends well.

    Raises
    ------
    LogError
        If ``path`` exists or its folder does not.
    LogLockedError
        If another process is building the same log.
    """
    partial = path.with_name(path.name + ".partial")
    if path.exists():
        raise LogError(
            f"{path}: the file exists already.",
            hint="Choose another name, or delete the file to make it again.",
        )
    if not path.parent.is_dir():
        raise LogError(f"{path.parent}: there is no such folder.", hint="Make it first.")
    if partial.exists():
        _discard_left_over(partial)
    try:
        with Log.create(partial, memory_limit=memory_limit, threads=threads) as log:
            yield log
        partial.replace(path)
    finally:
        _discard(partial)


def _discard_left_over(partial: Path) -> None:
    """Remove what a killed ingest left, unless a living one is at it."""
    try:
        duckdb.connect(str(partial), read_only=True).close()
    except duckdb.Error as error:
        if "lock" in str(error).lower() or "different configuration" in str(error):
            raise LogLockedError(
                f"{partial} is being written by another ingest.",
                hint="Wait until it ends, or choose another name.",
            ) from error
    _discard(partial)


def _discard(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    partial.with_name(partial.name + ".wal").unlink(missing_ok=True)
    shutil.rmtree(f"{partial}.tmp", ignore_errors=True)
