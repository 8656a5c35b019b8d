"""Parquet: one file a table, rows chosen by origin and time, complete in themselves."""

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from export_shop import MILK, day
from typer.testing import CliRunner

from footfall.commands.export import export
from footfall.errors import DataError, EmptyLogError, LogError, SettingError
from footfall.simulator.log import Log
from footfall.simulator.log_export import export_log
from footfall.simulator.schema import ARROW_SCHEMAS, TABLES


def read(folder, table):
    return pq.read_table(folder / f"{table}.parquet").to_pylist()


def column(folder, table, name):
    return sorted(row[name] for row in read(folder, table))


def test_everything_is_written_when_nothing_is_chosen(shop, tmp_path):
    made = export_log(shop, tmp_path / "out", format="parquet")
    assert made.origins == ("real", "sim-1")
    with Log.open(shop) as log:
        expected = {f"{table}.parquet": log.count(table) for table in TABLES}
    assert made.rows == expected | {"runs.parquet": 2}  # the run sim-2 made no rows
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(expected)


def test_types_texts_and_nulls_come_back_as_they_were(shop, tmp_path):
    export_log(shop, tmp_path / "out", format="parquet")
    for table in TABLES:
        schema = pq.read_schema(tmp_path / "out" / f"{table}.parquet")
        assert dict(zip(schema.names, schema.types, strict=True)) == dict(
            zip(ARROW_SCHEMAS[table].names, ARROW_SCHEMAS[table].types, strict=True)
        )
    items = {row["item_id"]: row for row in read(tmp_path / "out", "items")}
    assert items["milk"]["text"] == MILK
    assert items["milk"]["brand"] is None
    clicked = {row["item_id"]: row["clicked"] for row in read(tmp_path / "out", "impressions")[2:4]}
    assert clicked == {"a\tb": True, "a b": None}


def test_a_run_comes_with_what_it_names_and_nothing_else(shop, tmp_path):
    made = export_log(shop, tmp_path / "out", format="parquet", origin="sim-1")
    assert made.origins == ("sim-1",)
    assert column(tmp_path / "out", "items", "item_id") == ["a b", "milk"]
    assert column(tmp_path / "out", "users", "user_id") == ["p1"]
    assert column(tmp_path / "out", "runs", "run_id") == ["sim-1"]
    assert column(tmp_path / "out", "impressions", "origin") == ["sim-1", "sim-1"]
    assert read(tmp_path / "out", "purchases") == []
    assert read(tmp_path / "out", "promotions") == []


def test_real_rows_come_with_how_they_were_read(shop, tmp_path):
    export_log(shop, tmp_path / "out", format="parquet", origin=["real"])
    assert column(tmp_path / "out", "runs", "run_id") == ["ingest-shop"]
    assert len(read(tmp_path / "out", "rejects")) == 1
    assert column(tmp_path / "out", "users", "user_id") == ["u2", "小明"]


def test_nothing_from_until_on_is_written(shop, tmp_path):
    until = datetime(2026, 1, 4, 8, 1, tzinfo=UTC)  # the page of day 3 was asked for at 0:01
    export_log(shop, tmp_path / "out", format="parquet", origin="real", until=until)
    assert column(tmp_path / "out", "searches", "search_id") == ["小明-1-real-1", "小明-3-real-1"]
    # Without a time, nobody knows that the third purchase was early enough.
    assert column(tmp_path / "out", "purchases", "purchased_at") == [day(1), day(2)]
    # First seen on day 9, but shown on day 3.
    assert "a b" in column(tmp_path / "out", "items", "item_id")
    export_log(shop, tmp_path / "early", format="parquet", origin="real", until=day(2))
    assert "a b" not in column(tmp_path / "early", "items", "item_id")
    assert column(tmp_path / "early", "impressions", "item_id") == ["NA", "milk"]


def test_the_end_is_exclusive(shop, tmp_path):
    export_log(shop, tmp_path / "out", format="parquet", origin="real", until=day(1))
    assert read(tmp_path / "out", "purchases") == []
    assert read(tmp_path / "out", "sessions") == []


def test_the_log_is_unchanged_and_free_afterwards(shop, tmp_path):
    before = shop.read_bytes()
    export_log(shop, tmp_path / "out", format="parquet")
    assert shop.read_bytes() == before
    with Log.open(shop, read_only=False) as log:
        assert log.count("sessions") == 4


@pytest.mark.parametrize("form", ["parquet", "recbole", "huggingface"])
def test_a_failure_leaves_nothing_behind(shop, tmp_path, form, monkeypatch):
    def fail(self, sql, parameters=None, **tables):
        if "COPY" in sql:
            failures.append(sql)
            if len(failures) == (1 if form == "huggingface" else 3):
                raise OSError(28, "No space left on device")
        execute(self, sql, parameters, **tables)

    failures, execute = [], Log.execute
    monkeypatch.setattr(Log, "execute", fail)
    before = set(tmp_path.iterdir())
    with pytest.raises(DataError, match="No space left"):
        export_log(shop, tmp_path / "out", format=form, origin="real")
    assert set(tmp_path.iterdir()) == before
    monkeypatch.undo()
    export_log(shop, tmp_path / "out", format=form, origin="real")


def test_a_folder_that_holds_something_is_left_alone(shop, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    with pytest.raises(SettingError, match="not an empty folder"):
        export_log(shop, tmp_path / "out", format="parquet")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]
    with pytest.raises(SettingError, match="does not exist"):
        export_log(shop, tmp_path / "no" / "out", format="parquet")


def test_an_empty_folder_is_filled(shop, tmp_path):
    (tmp_path / "out").mkdir()
    export_log(shop, tmp_path / "out", format="parquet")
    assert read(tmp_path / "out", "items")


def test_wrong_choices_are_refused_with_what_there_is(shop, tmp_path):
    with pytest.raises(SettingError, match="parquet, recbole, huggingface"):
        export_log(shop, tmp_path / "out", format="csv")
    with pytest.raises(DataError, match=r"sim-9.*real, sim-1"):
        export_log(shop, tmp_path / "out", format="parquet", origin=["real", "sim-9"])
    with pytest.raises(SettingError, match="empty list"):
        export_log(shop, tmp_path / "out", format="parquet", origin=[])
    with pytest.raises(SettingError, match="below 0"):
        export_log(shop, tmp_path / "out", format="recbole", history=-1)
    with pytest.raises(LogError, match="no such log"):
        export_log(tmp_path / "no.duckdb", tmp_path / "out", format="parquet")
    Log.create(tmp_path / "empty.duckdb").close()
    with pytest.raises(EmptyLogError, match="empty"):
        export_log(tmp_path / "empty.duckdb", tmp_path / "out", format="parquet")
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_wrote(shop, tmp_path):
    app = typer.Typer()
    app.command()(export)
    options = ["--run", "real", "--until", "2026-01-03", "--format", "parquet"]
    result = CliRunner().invoke(app, [str(shop), str(tmp_path / "out"), *options])
    assert result.exit_code == 0, result.output
    assert "impressions.parquet: 2 rows" in result.output
    assert "real as parquet" in result.output
    assert isinstance(pq.read_table(tmp_path / "out" / "items.parquet"), pa.Table)
