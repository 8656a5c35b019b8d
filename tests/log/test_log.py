"""The DuckDB file: versions, locks, transactions, bulk appends."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.errors import (
    DataError,
    LogError,
    LogFullError,
    LogLockedError,
    LogVersionError,
    SettingError,
)
from footfall.simulator import log_file
from footfall.simulator.log import Log
from footfall.simulator.migrations import Migration, migrate, plan
from footfall.simulator.schema import SCHEMA_VERSION, TABLES


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.duckdb"


def _items(count: int) -> pa.Table:
    return pa.table(
        {
            "item_id": [f"i{number}" for number in range(count)],
            "text": [f"item {number}" for number in range(count)],
            "origin": ["real"] * count,
        }
    )


def test_a_new_log_says_what_it_is_and_has_every_table(path: Path) -> None:
    with Log.create(path) as log:
        meta = dict(
            zip(
                *log.query("SELECT key, value FROM footfall_meta").to_pydict().values(), strict=True
            )
        )
        assert meta == {"application": "footfall", "schema_version": str(SCHEMA_VERSION)}
        assert [log.count(table) for table in TABLES] == [0] * len(TABLES)


def test_the_temporary_folder_is_next_to_the_log(path: Path) -> None:
    with Log.create(path) as log:
        assert log.scalar("SELECT current_setting('temp_directory')") == f"{path}.tmp"


def test_creating_over_a_file_is_refused_and_leaves_it_alone(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(LogError, match="exists already"):
        Log.create(path)
    assert path.read_text() == "precious"


def test_a_missing_log(path: Path) -> None:
    with pytest.raises(LogError, match="no such log"):
        Log.open(path)
    assert not path.exists()


def test_a_file_of_another_kind(path: Path) -> None:
    path.write_text("user,item\n1,2\n" * 2000)
    with pytest.raises(LogVersionError, match="not a DuckDB file"):
        Log.open(path)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE t (a INT)",
        "CREATE TABLE footfall_meta AS SELECT 'application' AS key, 'other' AS value",
    ],
)
def test_a_file_of_another_program(path: Path, statement: str) -> None:
    connection = duckdb.connect(str(path))
    connection.execute(statement)
    connection.close()
    with pytest.raises(LogVersionError, match="another program"):
        Log.open(path)


def _set_version(path: Path, version: int) -> None:
    with Log.open(path, read_only=False) as log:
        log.execute(
            "UPDATE footfall_meta SET value = ? WHERE key = 'schema_version'", [str(version)]
        )


def test_a_newer_log_is_refused(path: Path) -> None:
    Log.create(path).close()
    _set_version(path, SCHEMA_VERSION + 1)
    for read_only in (True, False):
        with pytest.raises(LogVersionError, match="pip install --upgrade"):
            Log.open(path, read_only=read_only)


def test_an_older_log_without_a_way_up_is_refused(path: Path) -> None:
    Log.create(path).close()
    _set_version(path, 0)
    with pytest.raises(LogVersionError, match="footfall ingest"):
        Log.open(path, read_only=False)


STEPS = (
    Migration("add_note", 2, ("ALTER TABLE items ADD COLUMN note VARCHAR",)),
    Migration("fill_note", 3, ("UPDATE items SET note = 'none'",)),
)


def test_an_older_log_is_migrated_when_opened_for_writing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Log.create(path) as log:
        log.append("items", _items(2))
    monkeypatch.setattr(log_file, "SCHEMA_VERSION", 3)
    monkeypatch.setattr("footfall.simulator.migrations.MIGRATIONS", STEPS)
    with pytest.raises(LogVersionError, match="read_only=False"):
        Log.open(path)
    with Log.open(path, read_only=False) as log:
        assert log.query("SELECT DISTINCT note FROM items")["note"].to_pylist() == ["none"]
        keys = log.query("SELECT key FROM footfall_meta ORDER BY key")["key"].to_pylist()
        assert keys == [
            "application",
            "migration:add_note",
            "migration:fill_note",
            "schema_version",
        ]
    with Log.open(path) as log:
        assert log.scalar("SELECT value FROM footfall_meta WHERE key = 'schema_version'") == "3"


def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    Log.create(path).close()
    connection = duckdb.connect(str(path))
    broken = (STEPS[0], Migration("broken", 3, ("UPDATE nowhere SET x = 1",)))
    with pytest.raises(LogVersionError, match="unchanged"):
        migrate(connection, 1, target=3, registry=broken)
    columns = connection.execute("DESCRIBE items").fetchall()
    assert "note" not in {column[0] for column in columns}
    connection.close()


def test_a_gap_among_the_migrations_is_refused() -> None:
    with pytest.raises(LogVersionError, match="no step to version 2"):
        plan(1, target=3, registry=STEPS[1:])


def test_another_process_that_writes_is_named(path: Path) -> None:
    code = (
        "import sys\nfrom footfall.simulator.log import Log\n"
        f"log = Log.create({str(path)!r})\nprint('ready', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == "ready"
        for read_only in (True, False):
            with pytest.raises(LogLockedError, match=f"PID {other.pid}") as caught:
                Log.open(path, read_only=read_only)
            assert caught.value.retryable
            assert "snapshot" in caught.value.hint
        other.send_signal(signal.SIGKILL)
    Log.open(path).close()


def test_a_second_use_in_this_process_is_refused(path: Path) -> None:
    with Log.create(path), pytest.raises(LogLockedError, match="open already"):
        Log.open(path)


def test_appending_fills_missing_columns_casts_and_skips_known_keys(path: Path) -> None:
    with Log.create(path) as log:
        assert log.append("items", _items(3)) == 3
        rows = _items(5).append_column("price", pa.array([1, 2, 3, 4, 5], pa.int32()))
        assert log.append("items", rows) == 2
        found = log.query("SELECT item_id, price FROM items ORDER BY item_id").to_pydict()
    assert found == {
        "item_id": ["i0", "i1", "i2", "i3", "i4"],
        "price": [None, None, None, 4.0, 5.0],
    }


def test_appending_what_does_not_fit(path: Path) -> None:
    with Log.create(path) as log:
        with pytest.raises(DataError, match="no column colour"):
            log.append("items", _items(1).append_column("colour", pa.array(["red"])))
        with pytest.raises(DataError, match="do not fit"):
            log.append("items", pa.table({"item_id": ["a"], "origin": ["real"]}))
        with pytest.raises(DataError, match="do not fit"):
            log.append("items", _items(1).append_column("price", pa.array(["cheap"])))
        with pytest.raises(SettingError, match="no table 'clicks'"):
            log.append("clicks", _items(1))
        assert log.count("items") == 0


def test_a_wrong_statement_and_a_closed_log(path: Path) -> None:
    log = Log.create(path)
    with pytest.raises(LogError, match="nowhere"):
        log.query("SELECT * FROM nowhere")
    assert log.scalar("SELECT item_id FROM items") is None
    log.close()
    log.close()
    with pytest.raises(LogError, match="closed"):
        log.count("items")


def test_arrow_tables_join_by_name_and_leave_no_trace(path: Path) -> None:
    with Log.create(path) as log:
        log.append("items", _items(3))
        wanted = pa.table({"item_id": ["i2", "i9"]})
        found = log.query("SELECT text FROM items SEMI JOIN wanted USING (item_id)", wanted=wanted)
        assert found["text"].to_pylist() == ["item 2"]
        with pytest.raises(LogError, match="wanted"):
            log.query("SELECT * FROM wanted")


def test_a_transaction_is_whole_or_nothing(path: Path) -> None:
    with Log.create(path) as log:
        with pytest.raises(RuntimeError), log.transaction():  # noqa: PT012
            log.append("items", _items(2))
            with log.transaction():
                log.append(
                    "users", pa.table({"user_id": ["u"], "locale": ["en_US"], "origin": ["real"]})
                )
            raise RuntimeError
        assert log.count("items") == log.count("users") == 0
        with log.transaction():
            log.append("items", _items(2))
        assert log.count("items") == 2


def test_an_unread_result_does_not_block_the_next_statement(path: Path) -> None:
    with Log.create(path) as log:
        log.append("items", _items(3000))
        assert log.scalar("SELECT text FROM items WHERE item_id <> ''").startswith("item")
        log.execute("SELECT * FROM items")
        assert log.query("SELECT count(*) AS n FROM items")["n"].to_pylist() == [3000]


def test_runs_start_go_on_and_end(path: Path) -> None:
    with Log.create(path) as log:
        log.start_run("r1", "simulate", {"sessions": 5}, seed=7, model="m", model_hash="h")
        log.end_run("r1", "interrupted")
        log.start_run("r1", "simulate", {"sessions": 5}, seed=7, model="m", model_hash="h")
        row = log.query("SELECT * FROM runs").to_pylist()[0]
        assert (row["state"], row["ended_at"], row["seed"]) == ("running", None, 7)
        assert json.loads(row["configuration"]) == {"sessions": 5}
        assert json.loads(row["versions"])["duckdb"] == duckdb.__version__
        with pytest.raises(SettingError, match="another configuration, seed"):
            log.start_run("r1", "simulate", {"sessions": 6}, seed=8, model="m", model_hash="h")
        with pytest.raises(SettingError, match="'done'"):
            log.end_run("r1", "done")
        log.end_run("r1", "finished")
        row = log.query("SELECT * FROM runs").to_pylist()[0]
        assert row["state"] == "finished"
        assert row["ended_at"] >= row["started_at"]


def test_snapshot_summary_and_counts(path: Path, tmp_path: Path) -> None:
    with Log.create(path) as log:
        log.append("items", _items(3))
        log.append("items", pa.table({"item_id": ["s"], "text": ["s"], "origin": ["run-1"]}))
        assert log.count("items", "real") == 3
        assert log.summary().to_pylist() == [
            {"table": "items", "origin": "real", "rows": 3},
            {"table": "items", "origin": "run-1", "rows": 1},
        ]
        for _ in range(2):
            paths = log.snapshot(tmp_path / "it's a snapshot")
    assert set(paths) == set(TABLES)
    assert sorted(file.name for file in (tmp_path / "it's a snapshot").iterdir()) == sorted(
        f"{table}.parquet" for table in TABLES
    )
    metadata = pq.ParquetFile(paths["items"]).metadata
    assert metadata.num_rows == 4
    assert metadata.row_group(0).column(0).compression == "ZSTD"


@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(st.text(min_size=1), min_size=1, max_size=20),
    prices=st.lists(st.none() | st.floats(allow_nan=False), min_size=20, max_size=20),
)
def test_what_is_appended_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], prices: list[float | None]
) -> None:
    rows = pa.table(
        {
            "item_id": [str(number) for number in range(len(texts))],
            "text": texts,
            "price": pa.array(prices[: len(texts)], pa.float64()),
            "first_seen": pa.array(
                [datetime(2020, 2, 29, 1, 2, 3, 4)] * len(texts), pa.timestamp("us")
            ),
            "origin": ["real"] * len(texts),
        }
    )
    path = tmp_path_factory.mktemp("log") / "a.duckdb"
    with Log.create(path) as log:
        log.append("items", rows)
    with Log.open(path) as log:
        found = log.query(f"SELECT {', '.join(rows.column_names)} FROM items ORDER BY item_id::INT")
    assert found.to_pylist() == rows.to_pylist()


@pytest.fixture
def small_disk(tmp_path: Path):
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk is not permitted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_keeps_what_was_committed(small_disk: Path) -> None:
    path = small_disk / "log.duckdb"
    rows = pa.table(
        {
            "user_id": [os.urandom(20).hex() for _ in range(20_000)],
            "item_id": [os.urandom(20).hex() for _ in range(20_000)],
            "origin": ["real"] * 20_000,
        }
    )
    log = Log.create(path)
    committed = 0
    failure = None
    while failure is None:
        try:
            log.append("purchases", rows)
            committed += 20_000
        except LogFullError as error:
            failure = error
    assert failure.retryable
    assert committed > 0
    with suppress(LogFullError):
        log.close()
    with Log.open(path) as log:
        assert log.count("purchases") == committed
