"""Whole sessions, once each, whatever happens to the process."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.errors import DataError, LogError, LogFullError
from footfall.simulator import writer as writer_module
from footfall.simulator.log import Log
from footfall.simulator.writer import LogWriter, SessionRows, committed_sessions

RUN = "run-1"


def session(name: str, searches: int = 2, items: int = 3) -> SessionRows:
    ids = [f"{name}-{number}" for number in range(searches)]
    return SessionRows(
        {
            "users": pa.table({"user_id": ["u"], "locale": ["en_US"], "origin": [RUN]}),
            "sessions": pa.table({"session_id": [name], "user_id": ["u"], "origin": [RUN]}),
            "searches": pa.table(
                {
                    "search_id": pa.array(ids, pa.string()),
                    "session_id": pa.array([name] * searches, pa.string()),
                    "step": pa.array(range(1, searches + 1), pa.int64()),
                    "page": pa.array([1] * searches, pa.int64()),
                    "candidates": pa.array(["simulated"] * searches, pa.string()),
                    "origin": pa.array([RUN] * searches, pa.string()),
                }
            ),
            "impressions": pa.table(
                {
                    "search_id": pa.array([one for one in ids for _ in range(items)], pa.string()),
                    "item_id": pa.array([f"i{k}" for _ in ids for k in range(items)], pa.string()),
                    "sample_rate": pa.array([1.0] * (searches * items)),
                    "origin": pa.array([RUN] * (searches * items), pa.string()),
                }
            ),
        }
    )


@pytest.fixture
def log(tmp_path: Path):
    with Log.create(tmp_path / "log.duckdb") as opened:
        yield opened


def counts(log: Log) -> tuple[int, int, int]:
    return log.count("sessions"), log.count("searches"), log.count("impressions")


def test_sessions_are_written_and_counted(log: Log) -> None:
    with LogWriter(log, sessions_per_commit=4) as writer:
        for number in range(10):
            writer.submit(session(f"s{number}"))
        writer.flush()
        assert counts(log) == (10, 20, 60)
    assert committed_sessions(log, RUN) == {f"s{number}" for number in range(10)}
    assert committed_sessions(log, "another") == set()
    assert log.count("users") == 1


def test_a_flush_does_not_wait_for_a_full_batch(log: Log) -> None:
    with LogWriter(log, sessions_per_commit=1000, seconds_per_commit=60.0) as writer:
        writer.submit(session("a"))
        writer.flush()
        assert counts(log) == (1, 2, 6)


@settings(max_examples=15, deadline=None)
@given(names=st.lists(st.sampled_from("abcdef"), max_size=15), per_commit=st.integers(1, 5))
def test_a_session_submitted_again_is_skipped_whole(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], per_commit: int
) -> None:
    with Log.create(tmp_path_factory.mktemp("w") / "log.duckdb") as log:
        first: dict[str, int] = {}
        with LogWriter(log, sessions_per_commit=per_commit) as writer:
            for number, name in enumerate(names):
                first.setdefault(name, number % 4)
                writer.submit(session(name, searches=number % 4))
        expected = sum(first.values())
        assert counts(log) == (len(first), expected, 3 * expected)


@pytest.mark.parametrize(
    ("table", "column"), [("searches", "session_id"), ("impressions", "search_id")]
)
def test_rows_without_their_parent_are_refused_at_once(log: Log, table: str, column: str) -> None:
    rows = session("a").tables
    strayed = rows[table].set_column(
        rows[table].column_names.index(column), column, pa.array(["x"] * len(rows[table]))
    )
    with LogWriter(log) as writer:
        with pytest.raises(DataError, match="'x'"):
            writer.submit(SessionRows({**rows, table: strayed}))
        writer.submit(session("b"))
    assert committed_sessions(log, RUN) == {"b"}


def test_strange_tables_columns_and_types_are_refused(log: Log) -> None:
    rows = session("a").tables
    with LogWriter(log) as writer:
        with pytest.raises(DataError, match="clicks"):
            writer.submit(SessionRows({**rows, "clicks": rows["users"]}))
        coloured = rows["sessions"].append_column("colour", pa.array(["red"]))
        with pytest.raises(DataError, match="no column colour"):
            writer.submit(SessionRows({**rows, "sessions": coloured}))
        late = rows["sessions"].append_column("started_at", pa.array(["soon"]))
        with pytest.raises(DataError, match="wrong type"):
            writer.submit(SessionRows({**rows, "sessions": late}))


def test_an_error_in_the_thread_surfaces_and_loses_nothing_committed(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = LogWriter(log, queue_size=2)
    writer.submit(session("a"))
    writer.flush()

    def full(*_: object) -> None:
        raise LogFullError("no room", hint="")

    monkeypatch.setattr(writer_module, "_insert", full)
    writer.submit(session("b"))
    with pytest.raises(LogFullError):
        writer.flush()
    with pytest.raises(LogFullError):
        writer.submit(session("c"))
    with pytest.raises(LogFullError):
        writer.close()
    assert committed_sessions(log, RUN) == {"a"}


def test_a_search_id_used_twice_is_heard(log: Log) -> None:
    stolen = session("a").tables | {"sessions": session("b").tables["sessions"]}
    stolen["searches"] = stolen["searches"].set_column(1, "session_id", pa.array(["b", "b"]))
    writer = LogWriter(log)
    writer.submit(session("a"))
    writer.flush()
    writer.submit(SessionRows(stolen))
    with pytest.raises(DataError, match="do not fit"):
        writer.close()
    assert counts(log) == (1, 2, 6)


def test_a_read_only_log_and_a_closed_writer(tmp_path: Path) -> None:
    path = tmp_path / "log.duckdb"
    with Log.create(path) as log:
        writer = LogWriter(log)
        writer.close()
        with pytest.raises(LogError, match="closed"):
            writer.submit(session("a"))
    with Log.open(path) as log, pytest.raises(LogError, match="reading only"):
        LogWriter(log)


TOTAL = 400
WORKER = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from footfall.simulator.log import Log
from footfall.simulator.writer import LogWriter, committed_sessions
from test_writer import RUN, TOTAL, session
path = Path(sys.argv[1])
log = Log.open(path, read_only=False) if path.exists() else Log.create(path)
done = committed_sessions(log, RUN)
print("ready", flush=True)
with LogWriter(log, sessions_per_commit=7, seconds_per_commit=0.01) as writer:
    for number in range(TOTAL):
        if f"s{{number}}" not in done or number % 3 == 0:
            writer.submit(session(f"s{{number}}", 1 + number % 3, 4))
log.close()
"""


def test_killed_at_any_moment_every_session_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.duckdb"
    moments = random.Random(os.getpid())
    command = [sys.executable, "-c", WORKER, str(path)]
    seen = 0
    for _ in range(4):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout is not None
            assert worker.stdout.readline().strip() == "ready"
            time.sleep(moments.uniform(0.01, 0.25))
            worker.send_signal(signal.SIGKILL)
        with Log.open(path) as log:
            done = committed_sessions(log, RUN)
            assert len(done) >= seen
            seen = len(done)
            _check_whole(log)
    subprocess.run(command, check=True, capture_output=True)
    with Log.open(path) as log:
        assert len(committed_sessions(log, RUN)) == TOTAL
        _check_whole(log)


def _check_whole(log: Log) -> None:
    found = log.query(
        "SELECT session_id, count(DISTINCT search_id) AS searches, count(item_id) AS impressions "
        "FROM sessions LEFT JOIN searches USING (session_id) "
        "LEFT JOIN impressions USING (search_id) "
        "GROUP BY session_id"
    ).to_pylist()
    for row in found:
        expected = 1 + int(row["session_id"][1:]) % 3
        assert (row["searches"], row["impressions"]) == (expected, 4 * expected)
    assert log.count("impressions") == sum(row["impressions"] for row in found)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_stops_the_writer_and_keeps_whole_sessions(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    try:
        log = Log.create(folder / "log.duckdb")
        with pytest.raises(LogFullError):
            _write_until_full(log)
        with suppress(LogFullError):
            log.close()
        with Log.open(folder / "log.duckdb") as log:
            assert log.count("sessions") > 0
            assert log.count("impressions") == 300 * log.count("sessions")
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _write_until_full(log: Log) -> None:
    with LogWriter(log, sessions_per_commit=8) as writer:
        for number in range(3000):
            rows = session(f"{os.urandom(30).hex()}-{number}", 3, 100)
            writer.submit(rows)
