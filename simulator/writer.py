"""Writing sessions to the log from one thread, whole sessions at a time.

Shoppers end in any order and at any rate. They hand their rows to a :class:`LogWriter`, whose
thread commits several whole sessions per transaction. A session's row is its own done-marker:
searches, impressions and the session are committed together, and a session that the log has
already is skipped whole, so a run that was killed goes on by submitting everything again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, Full, Queue
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from footfall.errors import DataError, FootfallError, LogError
from footfall.simulator.log import Log
from footfall.simulator.schema import ARROW_SCHEMAS

__all__ = ["LogWriter", "SessionRows", "committed_sessions"]

#: Tables that a submission may carry, in the order in which they are written.
_ACCEPTED = ("items", "users", "sessions", "searches", "impressions", "purchases")
_SUBMISSION = "submission_number"

# Which submission brings each session that the log does not have yet; the first one wins.
_NEW_SESSIONS = f"""
CREATE OR REPLACE TEMP TABLE new_sessions AS
SELECT session_id, min({_SUBMISSION}) AS {_SUBMISSION} FROM new_rows
ANTI JOIN sessions USING (session_id) GROUP BY session_id
"""
_NEW_SEARCHES = f"""
CREATE OR REPLACE TEMP TABLE new_searches AS
SELECT search_id, {_SUBMISSION} FROM new_rows JOIN new_sessions USING (session_id, {_SUBMISSION})
"""
_KEYS = {
    "sessions": ("new_sessions", "session_id"),
    "searches": ("new_sessions", "session_id"),
    "impressions": ("new_searches", "search_id"),
    "purchases": ("new_sessions", "session_id"),
}


@dataclass(frozen=True, slots=True)
class SessionRows:
    """The rows of one or more whole sessions.

    Parameters
    ----------
    tables:
        Table name to rows: ``sessions``, ``searches``, ``impressions``, and where wanted
        ``users``, ``items`` and ``purchases``. Columns that are missing become null.
    """

    tables: dict[str, pa.Table]


class LogWriter:
    """A thread that owns the writing to a log; use it as a context manager.

    Parameters
    ----------
    log:
        A log opened for writing.
    queue_size:
        Submissions that may wait; :meth:`submit` blocks beyond that.
    sessions_per_commit:
        A transaction is committed at the latest after so many submissions.
    seconds_per_commit:
        ... or when the oldest uncommitted submission is this old, in seconds.
    """

    def __init__(
        self,
        log: Log,
        *,
        queue_size: int = 256,
        sessions_per_commit: int = 128,
        seconds_per_commit: float = 1.0,
    ) -> None:
        if log.read_only:
            raise LogError(
                f"{log.path} is open for reading only.", hint="Open it with read_only=False."
            )
        self._log = log
        self._queue: Queue[SessionRows | Event | None] = Queue(queue_size)
        self._per_commit = sessions_per_commit
        self._seconds = seconds_per_commit
        self._failure: FootfallError | None = None
        self._closed = False
        self._thread = Thread(target=self._work, name="footfall-log-writer", daemon=True)
        self._thread.start()

    def submit(self, rows: SessionRows) -> None:
        """Hand over whole sessions; returns before they are committed.

        Raises
        ------
        DataError
            If a search has no session among the rows or an impression no search.
        FootfallError
            What went wrong with an earlier submission, such as ``LogFullError``.
        """
        if self._closed:
            raise LogError("The log writer is closed.", hint="Make a new LogWriter.")
        self._raise_failure()
        self._put(SessionRows(_whole(rows.tables)))

    def flush(self) -> None:
        """Return when everything submitted is committed; errors as in :meth:`submit`."""
        self._raise_failure()
        done = Event()
        self._put(done)
        while not done.wait(0.1):
            if not self._thread.is_alive():
                break
        self._raise_failure()

    def close(self) -> None:
        """Commit what was submitted and stop; errors as in :meth:`submit`."""
        if not self._closed:
            self._closed = True
            self._put(None)
            self._thread.join()
        self._raise_failure()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except FootfallError:
            # The error that ended the block says more than the one it led to.
            if error is None:
                raise

    def _put(self, message: SessionRows | Event | None) -> None:
        while self._thread.is_alive():
            try:
                self._queue.put(message, timeout=0.1)
            except Full:
                continue
            return

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        open_ = True
        while open_:
            batch, flushes, open_ = self._collect()
            if batch and self._failure is None:
                self._try_commit(batch)
            for done in flushes:
                done.set()

    def _collect(self) -> tuple[list[SessionRows], list[Event], bool]:
        """Wait for submissions until it is time to commit; the flag is false at the end."""
        batch: list[SessionRows] = []
        deadline: float | None = None
        while len(batch) < self._per_commit:
            try:
                wait = None if deadline is None else max(0.0, deadline - monotonic())
                message = self._queue.get(timeout=wait)
            except Empty:
                break
            if message is None:
                return batch, [], False
            if isinstance(message, Event):
                return batch, [message], True
            batch.append(message)
            deadline = deadline or monotonic() + self._seconds
        return batch, [], True

    def _try_commit(self, batch: Sequence[SessionRows]) -> None:
        try:
            _commit(self._log, batch)
        except FootfallError as error:
            self._failure = error
        except Exception as error:  # the thread must not die in silence
            self._failure = LogError(f"{self._log.path}: writing failed: {error!r}.", hint="")


def committed_sessions(log: Log, run_id: str) -> set[str]:
    """Return the ids of the sessions of a run that are in the log, each complete."""
    found = log.query("SELECT session_id FROM sessions WHERE origin = ?", [run_id])
    return set(found["session_id"].to_pylist())


def _whole(tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """Check that the rows form whole sessions, and give them the schema's columns and types."""
    unknown = sorted(set(tables) - set(_ACCEPTED))
    if unknown or "sessions" not in tables:
        raise DataError(
            f"A submission has the tables {', '.join(sorted(tables))}.",
            hint=f"Give sessions and no others than {', '.join(_ACCEPTED)}.",
        )
    fitted = {name: _fitted(name, tables[name]) for name in _ACCEPTED if name in tables}
    _check_parents(fitted, "searches", "sessions", "session_id")
    _check_parents(fitted, "impressions", "searches", "search_id")
    _check_parents(fitted, "purchases", "sessions", "session_id")
    return fitted


def _fitted(name: str, rows: pa.Table) -> pa.Table:
    schema = ARROW_SCHEMAS[name]
    unknown = [column for column in rows.column_names if column not in schema.names]
    if unknown:
        raise DataError(
            f"The table {name} has no column {unknown[0]}.",
            hint=f"Its columns are {', '.join(schema.names)}.",
        )
    try:
        columns = [
            rows[field.name].cast(field.type)
            if field.name in rows.column_names
            else pa.nulls(len(rows), field.type)
            for field in schema
        ]
    except pa.ArrowException as error:
        raise DataError(f"Rows for the table {name} have a wrong type: {error}.") from error
    return pa.table(columns, schema=schema)


def _check_parents(tables: dict[str, pa.Table], child: str, parent: str, key: str) -> None:
    if child not in tables:
        return
    known = tables[parent][key] if parent in tables else pa.array([], pa.string())
    if isinstance(known, pa.ChunkedArray):
        known = known.combine_chunks()
    present = pc.is_in(tables[child][key], value_set=known)
    if not pc.all(present, min_count=0).as_py():
        orphan = pc.filter(tables[child][key], pc.invert(present))[0].as_py()
        raise DataError(
            f"A row of {child} has {key} {orphan!r}, which is not among the submitted {parent}.",
            hint="Submit whole sessions: each with all of its rows at once.",
        )


def _commit(log: Log, batch: Sequence[SessionRows]) -> None:
    with log.transaction():
        for name in _ACCEPTED:
            parts = [
                rows.tables[name].append_column(
                    _SUBMISSION, pa.repeat(pa.scalar(number, pa.int64()), len(rows.tables[name]))
                )
                for number, rows in enumerate(batch)
                if name in rows.tables
            ]
            if parts:
                _insert(log, name, pa.concat_tables(parts))


def _insert(log: Log, name: str, rows: pa.Table) -> None:
    if name not in _KEYS:
        log.append(name, rows.drop_columns([_SUBMISSION]))
        return
    if name == "sessions":
        log.execute(_NEW_SESSIONS, new_rows=rows)
    if name == "searches":
        log.execute(_NEW_SEARCHES, new_rows=rows)
    columns = ", ".join(ARROW_SCHEMAS[name].names)
    kept, key = _KEYS[name]
    # No OR IGNORE here: an id that another session uses is a mistake that must be heard.
    log.execute(
        f"INSERT INTO {name} ({columns}) SELECT {columns} FROM new_rows "
        f"SEMI JOIN {kept} USING ({key}, {_SUBMISSION})",
        new_rows=rows,
    )
