"""The log: one DuckDB file with the real and the synthetic rows.

One process may write a log at a time, and nobody else can open it meanwhile; other readers take a
:meth:`Log.snapshot`. Every error of DuckDB leaves here as a :class:`~footfall.errors.LogError` or
:class:`~footfall.errors.DataError`.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from footfall.errors import (
    DataError,
    FootfallError,
    LogError,
    SettingError,
)
from footfall.simulator.log_file import check_version, connect, translated
from footfall.simulator.schema import APPLICATION, ARROW_SCHEMAS, DDL, SCHEMA_VERSION, TABLES

__all__ = ["Log"]

Parameters = Sequence[Any] | Mapping[str, Any] | None

_KEYED = frozenset({"items", "users", "runs", "sessions", "searches"})
_RUN_STATES = ("running", "finished", "interrupted", "failed")


class Log:
    """An open log. Use :meth:`create` or :meth:`open`, and as a context manager.

    The methods may be called from several threads; they take turns.

    Attributes
    ----------
    path:
        The DuckDB file.
    read_only:
        Whether rows cannot be added.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, path: Path, *, read_only: bool
    ) -> None:
        self.path = path
        self.read_only = read_only
        self._connection: duckdb.DuckDBPyConnection | None = connection
        self._lock = RLock()
        self._depth = 0
        self._lent: set[str] = set()

    @classmethod
    def create(cls, path: str | Path, *, memory_limit: str = "2GB", threads: int = 2) -> Self:
        """Make a new, empty log.

        Raises
        ------
        LogError
            If the file exists or its folder does not.
        """
        path = Path(path)
        if path.exists():
            raise LogError(
                f"{path}: the file exists already.",
                hint="Choose another name, or delete the file if it is no longer needed.",
            )
        connection = connect(path, read_only=False, memory_limit=memory_limit, threads=threads)
        try:
            connection.execute("BEGIN TRANSACTION")
            for statement in DDL:
                connection.execute(statement)
            connection.executemany(
                "INSERT INTO footfall_meta VALUES (?, ?)",
                [("application", APPLICATION), ("schema_version", str(SCHEMA_VERSION))],
            )
            connection.execute("COMMIT")
        except BaseException as error:
            connection.close()
            path.unlink(missing_ok=True)
            if isinstance(error, duckdb.Error):
                raise translated(error, path) from error
            raise
        return cls(connection, path, read_only=False)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        read_only: bool = True,
        memory_limit: str = "2GB",
        threads: int = 2,
    ) -> Self:
        """Open a log; one of an older schema version is migrated if ``read_only`` is false.

        Raises
        ------
        LogError
            If there is no such file.
        LogVersionError
            If the file is not DuckDB's, another program's, or of a version that cannot be used.
        LogLockedError
            If another process has the log open.
        """
        path = Path(path)
        if not path.is_file():
            raise LogError(
                f"{path}: there is no such log.", hint="Make one with `footfall ingest`."
            )
        connection = connect(path, read_only=read_only, memory_limit=memory_limit, threads=threads)
        try:
            check_version(connection, path, read_only=read_only)
        except BaseException:
            connection.close()
            raise
        return cls(connection, path, read_only=read_only)

    def query(self, sql: str, parameters: Parameters = None, **tables: pa.Table) -> pa.Table:
        """Run one SELECT and return all of its rows.

        Parameters
        ----------
        sql:
            DuckDB SQL; parameters are ``?`` or ``$name``.
        parameters:
            Values of the parameters.
        **tables:
            Arrow tables usable by these names in ``sql``.

        Raises
        ------
        LogError
            If the statement cannot be run.
        """
        with self._using(tables) as connection:
            relation = connection.sql(sql, params=parameters)
            if relation is None:
                return pa.table({})
            return relation.to_arrow_table()

    def execute(self, sql: str, parameters: Parameters = None, **tables: pa.Table) -> None:
        """Run one statement for its effect; parameters and errors as in :meth:`query`."""
        with self._using(tables) as connection:
            connection.execute(sql, parameters)
            # A result that is not drained would block the connection.
            connection.complete()

    def scalar(self, sql: str, parameters: Parameters = None) -> Any:
        """Return the first value of the first row, or None without rows."""
        with self._using({}) as connection:
            rows = connection.execute(sql, parameters).fetchall()
        return rows[0][0] if rows else None

    def append(self, table: str, rows: pa.Table) -> int:
        """Add rows to a table; return how many were added.

        Rows whose primary key is present are skipped; the others may be stored in any order.
        Columns that ``rows`` lacks become null; the others are cast to the schema's
        types.

        Raises
        ------
        DataError
            If a column is unknown, a value cannot be cast, or a required value is null.
        LogFullError
            If the disk is full; nothing of ``rows`` is kept.
        """
        _check_table(table)
        unknown = [name for name in rows.column_names if name not in ARROW_SCHEMAS[table].names]
        if unknown:
            raise DataError(
                f"The table {table} has no column {unknown[0]}.",
                hint=f"Its columns are {', '.join(ARROW_SCHEMAS[table].names)}.",
            )
        names = ", ".join(rows.column_names)
        ignore = "OR IGNORE " if table in _KEYED else ""
        with self._using({"appended_rows": rows}) as connection:
            result = connection.execute(
                f"INSERT {ignore}INTO {table} ({names}) SELECT {names} FROM appended_rows"
            ).fetchall()
        return int(result[0][0]) if result else 0

    def count(self, table: str, origin: str | None = None) -> int:
        """Return the number of rows, of one origin where given."""
        _check_table(table)
        if origin is None:
            return int(self.scalar(f"SELECT count(*) FROM {table}"))
        column = "run_id" if table in {"runs", "rejects"} else "origin"
        return int(self.scalar(f"SELECT count(*) FROM {table} WHERE {column} = ?", [origin]))

    def response_counts(self, origin: str) -> dict[str, int]:
        """How many ``impressions``, ``clicks`` and ``purchases`` one origin has."""
        counted: list[dict[str, int]] = self.query(
            """
            SELECT count(*) AS impressions, count(*) FILTER (clicked) AS clicks,
                   count(*) FILTER (purchased) AS purchases
            FROM impressions WHERE origin = ?
            """,
            [origin],
        ).to_pylist()
        return counted[0]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything inside the block at its end, or nothing; inner blocks join it."""
        with self._lock:
            if self._depth:
                yield
                return
            self.execute("BEGIN TRANSACTION")
            self._depth = 1
            try:
                yield
                self.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
            finally:
                self._depth = 0

    def start_run(
        self,
        run_id: str,
        kind: str,
        configuration: dict[str, Any],
        *,
        seed: int | None,
        model: str = "",
        model_hash: str = "",
    ) -> None:
        """Record that a run begins, or that it goes on if the log has it already.

        Raises
        ------
        SettingError
            If a run of this id was made with other settings.
        """
        row: dict[str, Any] = {
            "kind": kind,
            "configuration": json.dumps(configuration, sort_keys=True, ensure_ascii=False),
            "model": model,
            "model_hash": model_hash,
            "seed": seed,
        }
        with self.transaction():
            known = self.query(
                f"SELECT {', '.join(row)} FROM runs WHERE run_id = ?", [run_id]
            ).to_pylist()
            if known:
                _check_same_run(run_id, known[0], row)
                self.execute(
                    "UPDATE runs SET state = 'running', ended_at = NULL WHERE run_id = ?", [run_id]
                )
                return
            row |= {"run_id": run_id, "versions": json.dumps(_versions()), "state": "running"}
            row["started_at"] = _now()
            self.append("runs", pa.Table.from_pylist([row], schema=_subschema("runs", row)))

    def end_run(self, run_id: str, state: str) -> None:
        """Record how a run ended: ``finished``, ``interrupted`` or ``failed``."""
        if state not in _RUN_STATES:
            raise SettingError(
                f"A run cannot end in the state {state!r}.", hint=f"Use {', '.join(_RUN_STATES)}."
            )
        self.execute(
            "UPDATE runs SET state = ?, ended_at = ? WHERE run_id = ?", [state, _now(), run_id]
        )

    def snapshot(self, folder: str | Path) -> dict[str, Path]:
        """Write every table to ``<folder>/<table>.parquet`` (zstd) and return the paths.

        A file that is there already is replaced in one step.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = {table: folder / f"{table}.parquet" for table in TABLES}
        for table, path in paths.items():
            partial = path.with_name(path.name + ".partial")
            try:
                self.execute(
                    f"COPY {table} TO {_quoted(str(partial))} (FORMAT parquet, COMPRESSION zstd)"
                )
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
        return paths

    def summary(self) -> pa.Table:
        """Return rows per table and origin: columns ``table``, ``origin``, ``rows``.

        The origin of ``runs`` and ``rejects`` is the run.
        """
        parts = (
            f"SELECT {number} AS n, '{table}' AS name, "
            f"{'run_id' if table in {'runs', 'rejects'} else 'origin'} AS origin FROM {table}"
            for number, table in enumerate(TABLES)
        )
        return self.query(
            'SELECT name AS "table", origin, count(*) AS "rows" FROM '
            f"({' UNION ALL '.join(parts)}) GROUP BY n, name, origin ORDER BY n, origin"
        )

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                try:
                    connection.close()
                except duckdb.Error as error:
                    raise translated(error, self.path) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _using(self, tables: Mapping[str, pa.Table]) -> Iterator[duckdb.DuckDBPyConnection]:
        """Lend the connection with Arrow tables registered, and translate DuckDB's errors."""
        with self._lock:
            connection = self._connection
            if connection is None:
                raise LogError(f"{self.path}: the log is closed.", hint="Open it again.")
            try:
                for name, table in tables.items():
                    connection.register(name, table)
                yield connection
            except duckdb.Error as error:
                raise translated(error, self.path) from error
            finally:
                self._unregister(connection, tables)

    def _unregister(self, connection: duckdb.DuckDBPyConnection, names: Iterable[str]) -> None:
        """Forget Arrow tables; those of a failed transaction when it is rolled back."""
        for name in names:
            try:
                connection.unregister(name)
            except duckdb.Error:
                self._lent.add(name)

    def _roll_back(self) -> None:
        # A failed COMMIT has ended the transaction already; the first error is the one to tell.
        try:
            self.execute("ROLLBACK")
        except FootfallError:
            return
        lent, self._lent = self._lent, set()
        if self._connection is not None:
            self._unregister(self._connection, lent)


def _check_table(table: str) -> None:
    if table not in ARROW_SCHEMAS:
        raise SettingError(
            f"The log has no table {table!r}.", hint=f"Its tables are {', '.join(TABLES)}."
        )


def _check_same_run(run_id: str, known: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    changed = sorted(name for name, value in row.items() if known[name] != value)
    if changed:
        raise SettingError(
            f"The log has a run {run_id} with another {', '.join(changed)}.",
            hint="Resume it with the settings that it began with, or choose another run id.",
        )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("footfall", "duckdb", "pyarrow", "numpy", "vllm", "torch", "transformers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _subschema(table: str, names: Mapping[str, Any]) -> pa.Schema:
    return pa.schema([ARROW_SCHEMAS[table].field(name) for name in names])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
