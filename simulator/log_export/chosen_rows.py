"""The part of a log that is exported: rows by who made them and by time, complete in themselves.

Inside the block every table of the log stands for its chosen rows. DuckDB looks into its temporary
schema first, so that temporary views of the tables' names serve, also in a log that is open
read-only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from footfall.errors import DataError, EmptyLogError, SettingError
from footfall.simulator.catalog import utc_moment
from footfall.simulator.schema import ORIGIN_REAL, TABLES

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["Origin", "chosen_origins", "chosen_rows"]

Origin = str | Sequence[str] | None

#: Views in the order in which they build on each other. ``{stored}`` is the log's own schema,
#: ``{early}(time)`` whether that time is early enough.
_VIEWS: Final = {
    "searches": (
        "SELECT p.* FROM {stored}.searches p JOIN {stored}.sessions v USING (session_id) "
        "WHERE {chosen:p} AND {early:coalesce(p.searched_at, v.started_at)}"
    ),
    "sessions": (
        "SELECT v.* FROM {stored}.sessions v WHERE {chosen:v} AND ({early:v.started_at} "
        "OR v.session_id IN (SELECT session_id FROM temp.searches))"
    ),
    "impressions": (
        "SELECT i.* FROM {stored}.impressions i SEMI JOIN temp.searches USING (search_id)"
    ),
    "purchases": (
        "SELECT b.* FROM {stored}.purchases b WHERE {chosen:b} AND {early:b.purchased_at}"
    ),
    # What a page shows or a basket holds comes with it, whoever brought it into the log.
    "items": (
        "SELECT t.* FROM {stored}.items t WHERE ({chosen:t} AND "
        "(t.first_seen IS NULL OR {early:t.first_seen})) "
        "OR t.item_id IN (SELECT item_id FROM temp.impressions "
        "UNION ALL SELECT item_id FROM temp.purchases)"
    ),
    "users": (
        "SELECT u.* FROM {stored}.users u WHERE {chosen:u} "
        "OR u.user_id IN (SELECT user_id FROM temp.sessions "
        "UNION ALL SELECT user_id FROM temp.purchases)"
    ),
    # A week's number is no time that could be compared.
    "promotions": "SELECT m.* FROM {stored}.promotions m WHERE {chosen:m} AND {early:NULL}",
    "runs": (
        "SELECT r.* FROM {stored}.runs r WHERE r.run_id IN (SELECT origin FROM temp.chosen_origins)"
        " OR (r.kind = 'ingest' AND 'real' IN (SELECT origin FROM temp.chosen_origins))"
    ),
    "rejects": (
        "SELECT j.* FROM {stored}.rejects j "
        "WHERE j.run_id IN (SELECT run_id FROM temp.runs) AND {early:NULL}"
    ),
}


def chosen_origins(log: Log, origin: Origin) -> tuple[str, ...]:
    """Origins to export: those named, or all that the log has rows of, the real ones first.

    Raises
    ------
    DataError
        If the log has no such run.
    EmptyLogError
        If the log has no rows at all.
    SettingError
        If ``origin`` is an empty list.
    """
    known = _known_origins(log)
    if origin is None:
        if not known:
            raise EmptyLogError("The log is empty.", hint="Fill it with `footfall ingest`.")
        return known
    named = tuple(dict.fromkeys([origin] if isinstance(origin, str) else origin))
    if not named:
        raise SettingError("origin: an empty list.", hint=f"Name {ORIGIN_REAL!r} or a run.")
    for name in named:
        if name not in known:
            raise DataError(
                f"The log has no rows of {name!r}.",
                hint=f"It has rows of {', '.join(known) or 'nobody'}; `footfall runs` lists them.",
            )
    return named


def _known_origins(log: Log) -> tuple[str, ...]:
    tables = ("items", "users", "sessions", "searches", "purchases")
    union = " UNION ".join(f"SELECT DISTINCT origin FROM {table}" for table in tables)
    found = log.query(f"SELECT origin FROM ({union}) ORDER BY origin <> 'real', origin")
    return tuple(found["origin"].to_pylist())


@contextmanager
def chosen_rows(log: Log, origins: Sequence[str], until: datetime | None = None) -> Iterator[None]:
    """Let every table of the log stand for the rows of ``origins`` before ``until``.

    Pages are whole: one that was asked for before ``until`` keeps its responses. Sessions, pages
    and purchases without a time are left out where ``until`` is given, and so are promotions and
    rejected rows, which have none. Items shown or bought, and users who did something, are
    included whoever they are of. Runs: those chosen, and how the real rows were ingested.

    The log must not be written to meanwhile.
    """
    name = str(log.scalar("SELECT current_database()")).replace('"', '""')
    filled = _Conditions(f'"{name}"."main"', utc_moment(until))
    shown: list[str] = []
    chosen = pa.table({"origin": pa.array(list(origins), pa.string())})
    try:
        log.execute("CREATE TEMP TABLE chosen_origins AS SELECT origin FROM lent", lent=chosen)
        for table, sql in _VIEWS.items():
            log.execute(f"CREATE TEMP VIEW {table} AS {filled.of(sql)}")
            shown.append(table)
        yield
    finally:
        for table in reversed(shown):
            log.execute(f"DROP VIEW IF EXISTS temp.{table}")
        log.execute("DROP TABLE IF EXISTS temp.chosen_origins")


class _Conditions:
    """What stands for the conditions in the views' SQL; views take no parameters."""

    def __init__(self, stored: str, until: datetime | None) -> None:
        self.stored = stored
        self.until = None if until is None else until.isoformat(sep=" ")

    def of(self, sql: str) -> str:
        return sql.format(stored=self.stored, early=_Early(self.until), chosen=_Chosen())


class _Early:
    def __init__(self, until: str | None) -> None:
        self.until = until

    def __format__(self, time: str) -> str:
        return (
            "TRUE" if self.until is None else f"coalesce({time} < TIMESTAMP '{self.until}', FALSE)"
        )


class _Chosen:
    def __format__(self, alias: str) -> str:
        return f"{alias}.origin IN (SELECT origin FROM temp.chosen_origins)"


assert set(_VIEWS) == set(TABLES)
