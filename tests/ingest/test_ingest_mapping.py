"""Any log through a mapping: what comes in, what is set aside, and what stops it."""

import csv
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.errors import (
    CatalogueError,
    DataError,
    EmptyLogError,
    LogError,
    LogLockedError,
    NoResponseError,
    SettingError,
    TooManyRejectsError,
)
from footfall.simulator.ingest import Mapping, ingest_mapping
from footfall.simulator.log import Log

ITEMS = "id,name,kind,cost\na,Tea,Drinks,2.5\nb,Coffee,Drinks,3\nc,Bread,Food,\n"
EVENTS = (
    "user,page,item,rank,time,click\n"
    "u1,p1,a,1,2026-01-01 10:00:00,1\n"
    "u1,p1,b,2,2026-01-01 10:00:00,0\n"
    "u1,p2,c,1,2026-01-01 10:20:00,no\n"
    "u1,p3,a,1,2026-01-01 11:30:00,TRUE\n"
    "u2,p4,b,1,2026-01-01T10:00:00+02:00,f\n"
)


def mapping(**changed: dict | None) -> Mapping:
    parts = {
        "name": "shop",
        "items": {
            "file": "items.csv",
            "item_id": "id",
            "text": "name",
            "category": "kind",
            "price": "cost",
        },
        "impressions": {
            "file": "events.csv",
            "item_id": "item",
            "user_id": "user",
            "search_id": "page",
            "position": "rank",
            "shown_at": "time",
            "clicked": "click",
        },
    }
    for name, part in changed.items():
        parts[name] = part if part is None else {**parts.get(name, {}), **part}
    return Mapping.model_validate({name: part for name, part in parts.items() if part is not None})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir()
    (made / "items.csv").write_text(ITEMS)
    (made / "events.csv").write_text(EVENTS)
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.duckdb"


def rows(path: Path, sql: str) -> list[dict]:
    with Log.open(path) as log:
        return log.query(sql).to_pylist()


def test_sessions_searches_and_impressions(folder: Path, path: Path) -> None:
    report = ingest_mapping(mapping(), folder, path)
    assert report.positives == 2
    assert report.rejects == report.collapsed == {}
    assert report.source_rows == {"items": 3, "impressions": 5}
    assert report.rows["impressions"] == 5
    assert report.rows["users"] == 2
    # u1 pauses for 70 minutes before p3.
    assert rows(path, "SELECT search_id, session_id, step FROM searches ORDER BY search_id") == [
        {"search_id": "p1", "session_id": "shop-session-1", "step": 1},
        {"search_id": "p2", "session_id": "shop-session-1", "step": 2},
        {"search_id": "p3", "session_id": "shop-session-4", "step": 1},
        {"search_id": "p4", "session_id": "shop-session-5", "step": 1},
    ]
    assert rows(path, "SELECT * FROM sessions WHERE session_id = 'shop-session-1'") == [
        {
            "session_id": "shop-session-1",
            "user_id": "u1",
            "place": None,
            "started_at": datetime(2026, 1, 1, 10),
            "ended_at": datetime(2026, 1, 1, 10, 20),
            "ended_by": None,
            "origin": "real",
        }
    ]
    found = rows(path, "SELECT item_id, position, clicked, purchased, shown_at FROM impressions")
    assert [row["clicked"] for row in found] == [True, False, False, True, False]
    assert {row["purchased"] for row in found} == {None}
    assert found[4]["shown_at"] == datetime(2026, 1, 1, 8)
    assert [row["position"] for row in found] == [1, 2, 1, 1, 1]
    run = rows(path, "SELECT * FROM runs")[0]
    assert (run["run_id"], run["kind"], run["state"]) == ("ingest-shop", "ingest", "finished")
    assert json.loads(run["configuration"])["items"]["item_id"] == "id"


def test_items_keep_their_order_and_missing_prices(folder: Path, path: Path) -> None:
    ingest_mapping(mapping(), folder, path)
    assert rows(path, "SELECT text, category, price FROM items") == [
        {"text": "Tea", "category": "Drinks", "price": 2.5},
        {"text": "Coffee", "category": "Drinks", "price": 3.0},
        {"text": "Bread", "category": "Food", "price": None},
    ]


BAD = {
    "u3,p5,,1,2026-01-01 10:00:00,1": "missing item_id",
    ",p5,a,1,2026-01-01 10:00:00,1": "missing user_id",
    "u3,p5,z,1,2026-01-01 10:00:00,1": "item_id is not in the catalogue",
    "u3,p5,a,1,yesterday,1": "unparsable time in shown_at",
    "u3,p5,a,1,2026-02-30 10:00:00,1": "unparsable time in shown_at",
    "u3,p5,a,1,,1": "missing shown_at",
    "u3,p5,a,top,2026-01-01 10:00:00,1": "unparsable whole number in position",
    "u3,p5,a,1.5,2026-01-01 10:00:00,1": "unparsable whole number in position",
    "u3,p5,a,1,2026-01-01 10:00:00,perhaps": "unparsable label in clicked",
    "u3,p5,a,1,2026-01-01 10:00:00": "too few columns",
    "u3,p5,a,1,2026-01-01 10:00:00,1,1": "too many columns",
    'u3,"p5"x,a,1,2026-01-01 10:00:00,1': "malformed quotes",
    "u3,p\xff5,a,1,2026-01-01 10:00:00,1": "not UTF-8",
}


@pytest.mark.parametrize(("line", "reason"), BAD.items())
def test_a_malformed_row_is_set_aside_with_its_number(
    folder: Path, path: Path, line: str, reason: str
) -> None:
    lines = EVENTS.splitlines()
    lines.insert(3, line)
    (folder / "events.csv").write_bytes("\n".join(lines).encode("latin-1"))
    report = ingest_mapping(mapping(), folder, path, max_reject_share=0.5)
    assert report.rejects == {f"events.csv: {reason}": 1}
    assert report.source_rows["impressions"] == 6
    assert report.rows["impressions"] == 5
    reject = rows(path, "SELECT * FROM rejects")[0]
    assert (reject["run_id"], reject["row_number"]) == ("ingest-shop", 3)
    assert "2026" in reject["content"] or "yesterday" in reject["content"] or ",,1" in line


def test_rows_after_unreadable_ones_keep_their_numbers(folder: Path, path: Path) -> None:
    lines = EVENTS.splitlines()
    bad = ["u1,p1", "u9,,a,1,2026-01-01 10:00:00,1", "x", "u9,p9,a,1,soon,1"]
    (folder / "events.csv").write_text("\n".join([lines[0], *bad, *lines[1:], "", "x,y"]))
    report = ingest_mapping(mapping(), folder, path, max_reject_share=0.6)
    assert [row["row_number"] for row in rows(path, "FROM rejects ORDER BY row_number")][:4] == [
        1,
        2,
        3,
        4,
    ]
    assert sum(report.rejects.values()) == 5
    assert report.rows["impressions"] == 5


def test_too_many_rejects_stop_before_anything_is_written(folder: Path, path: Path) -> None:
    with (folder / "events.csv").open("a") as events:
        events.writelines("u3,p9,a,1,soon,1\n" for _ in range(4))
    with pytest.raises(TooManyRejectsError, match=r"4 of 9 rows.*unparsable time.*row 6") as caught:
        ingest_mapping(mapping(), folder, path)
    assert "soon" in str(caught.value)
    assert [file.name for file in path.parent.iterdir()] == ["data"]


def _replace(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (_replace("events.csv", ""), EmptyLogError, "events.csv: the file is empty"),
        (_replace("events.csv", EVENTS[:30]), EmptyLogError, "no data row"),
        (_replace("items.csv", "id,name,kind,cost\n"), EmptyLogError, "items.csv"),
        (
            _replace("events.csv", EVENTS.replace(",1\n", ",0\n").replace("TRUE", "0")),
            NoResponseError,
            "no positive response",
        ),
        (_replace("items.csv", ITEMS + "a,Chai,Drinks,2\n"), CatalogueError, "1 item ids.*'a'"),
        (
            _replace("events.csv", EVENTS.replace("2026", "day")),
            DataError,
            r"events.csv, column time: no time can be read; row 1 has 'day-01-01 10:00:00'",
        ),
        (_replace("events.csv", EVENTS.replace("rank", "ranks")), SettingError, "mean 'ranks'"),
        (_replace("events.csv", EVENTS.replace("rank", "item")), DataError, "more than once"),
        (_replace("events.csv", EVENTS.replace("u2,p4", "u2,p1")), DataError, "more than one user"),
        (lambda folder: (folder / "items.csv").unlink(), DataError, "no such file"),
    ],
)
def test_what_stops_an_ingest_leaves_nothing_behind(
    folder: Path, path: Path, spoil: Callable[[Path], None], error: type[Exception], words: str
) -> None:
    spoil(folder)
    with pytest.raises(error, match=words):
        ingest_mapping(mapping(), folder, path)
    assert [file.name for file in path.parent.iterdir()] == ["data"]


def test_a_log_of_rejects_only(folder: Path, path: Path) -> None:
    (folder / "items.csv").write_text("id,name,kind,cost\nq,Tea,Drinks,1\n")
    with pytest.raises(EmptyLogError, match="neither impressions nor purchases"):
        ingest_mapping(mapping(), folder, path, max_reject_share=1.0)


def test_repeated_and_nameless_items(folder: Path, path: Path) -> None:
    (folder / "items.csv").write_text(ITEMS + "a,Tea,Drinks,2.5\n,Air,,\nd,,,\n")
    report = ingest_mapping(mapping(), folder, path, max_reject_share=0.5)
    assert report.rows["items"] == 3
    assert report.collapsed == {"items": 1}
    assert report.rejects == {"items.csv: missing item_id": 1, "items.csv: missing text": 1}


def test_an_existing_log_and_what_a_killed_ingest_left(folder: Path, path: Path) -> None:
    partial = path.with_name("log.duckdb.partial")
    partial.write_text("torn")
    partial.with_name("log.duckdb.partial.wal").write_text("torn")
    ingest_mapping(mapping(), folder, path)
    assert not partial.exists()
    with pytest.raises(LogError, match="exists already"):
        ingest_mapping(mapping(), folder, path)


def test_a_log_that_is_being_built_by_another(folder: Path, path: Path) -> None:
    with duckdb.connect(f"{path}.partial"), pytest.raises(LogLockedError):
        ingest_mapping(mapping(), folder, path)
    assert Path(f"{path}.partial").exists()


def test_templates_constants_and_times_of_other_kinds(folder: Path, path: Path) -> None:
    (folder / "events.csv").write_text("who,what,day,when\nu,a,03/02/2026,1767225600\nv,,,\n")
    changed = {
        "user_id": "{who}@{day}",
        "item_id": "what",
        "query": "{what} on {day}",
        "place": "=Main Street",
        "shown_at": "day",
        "search_id": None,
        "position": None,
        "clicked": "=1",
        "time_format": "%d/%m/%Y",
    }
    ingest_mapping(mapping(impressions=changed), folder, path, max_reject_share=0.5)
    found = rows(path, "SELECT * FROM sessions JOIN searches USING (session_id)")[0]
    assert (found["user_id"], found["place"]) == ("u@03/02/2026", "Main Street")
    assert (found["query"], found["searched_at"]) == ("a on 03/02/2026", datetime(2026, 2, 3))
    path.unlink()
    changed |= {"shown_at": "when", "time_format": "epoch_s"}
    ingest_mapping(mapping(impressions=changed), folder, path, max_reject_share=0.5)
    assert rows(path, "SELECT searched_at FROM searches") == [{"searched_at": datetime(2026, 1, 1)}]


def test_users_and_purchases(folder: Path, path: Path) -> None:
    (folder / "users.csv").write_text("id,age,job\nu1,30,\nu1,31,cook\nu9,,\n")
    (folder / "sales.csv").write_text(
        "id,item,n,paid,at\nu1,a,2,5.0,2026-01-01\nu7,b,x,1,2026-01-01\n"
    )
    report = ingest_mapping(
        mapping(
            impressions=None,
            users={
                "file": "users.csv",
                "user_id": "id",
                "demographics": {"age": "age", "it's a job": "job"},
            },
            purchases={
                "file": "sales.csv",
                "user_id": "id",
                "item_id": "item",
                "quantity": "n",
                "amount": "paid",
                "purchased_at": "at",
            },
        ),
        folder,
        path,
        max_reject_share=0.5,
    )
    assert report.rejects == {"sales.csv: unparsable number in quantity": 1}
    assert report.collapsed == {"users": 1}
    users = rows(path, "SELECT user_id, demographics FROM users ORDER BY user_id")
    assert users == [
        {"user_id": "u1", "demographics": '{"age":"30"}'},
        {"user_id": "u9", "demographics": None},
    ]
    assert rows(path, "SELECT quantity, amount FROM purchases") == [{"quantity": 2, "amount": 5}]


@pytest.mark.parametrize("written", ["jsonl", "parquet", "tsv"])
def test_other_formats_give_the_same_log(folder: Path, path: Path, written: str) -> None:
    events = list(csv.DictReader(EVENTS.splitlines()))
    file = folder / f"events.{written}"
    if written == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in events))
    elif written == "parquet":
        pq.write_table(pa.Table.from_pylist(events), file)
    else:
        file.write_text(EVENTS.replace(",", "\t"))
    report = ingest_mapping(mapping(impressions={"file": file.name}), folder, path)
    assert (report.rows["impressions"], report.rows["searches"], report.positives) == (5, 4, 2)


def test_json_lines_that_are_no_objects(folder: Path, path: Path) -> None:
    lines = [json.dumps(row) for row in csv.DictReader(EVENTS.splitlines())]
    lines[1:1] = ["{broken", "[1, 2]", ""]
    (folder / "events.jsonl").write_text("\n".join(lines))
    report = ingest_mapping(
        mapping(impressions={"file": "events.jsonl"}), folder, path, max_reject_share=0.5
    )
    assert report.rejects == {
        "events.jsonl: malformed JSON": 1,
        "events.jsonl: not a JSON object": 1,
    }
    assert report.source_rows["impressions"] == 7
    numbers = rows(path, "SELECT row_number, content FROM rejects ORDER BY row_number")
    assert numbers[0] == {"row_number": 2, "content": '"{broken"'}


CLICKS = {"rows": "clicks", "clicked": None, "position": None, "search_id": None}


def test_reconstructed_candidates(folder: Path, path: Path) -> None:
    names = "".join(f"n{number},Name {number},Kind {number % 2},1\n" for number in range(400))
    (folder / "items.csv").write_text("id,name,kind,cost\n" + names)
    (folder / "events.csv").write_text(
        "user,page,item,time\n"
        + "".join(f"u{n},q,n{n % 7},2026-01-01\n" for n in range(60))
        + "u0,q,n0,2026-01-01\nu0,q,n2,2026-01-01\n"
    )
    found = {}
    for pool in ("same category", "popularity", "uniform"):
        ingest_mapping(
            mapping(
                impressions={**CLICKS, "query": "page", "same_search": ["user", "page", "time"]},
                candidates={"kind": "reconstructed", "per_search": 5, "from": pool},
            ),
            folder,
            path,
        )
        assert rows(path, "SELECT DISTINCT candidates FROM searches") == [
            {"candidates": "reconstructed"}
        ]
        found[pool] = rows(
            path,
            "SELECT search_id, count(*) AS n, count(DISTINCT item_id) AS items, "
            "count_if(clicked) AS clicks, count(DISTINCT category) AS kinds, "
            "max(sample_rate) FILTER (NOT clicked) AS rate FROM impressions "
            "JOIN items USING (item_id) GROUP BY search_id",
        )
        path.unlink()
        assert len(found[pool]) == 60
        for row in found[pool]:
            clicks = 2 if row["search_id"] == "shop-search-1" else 1
            assert (row["n"], row["items"], row["clicks"]) == (5 + clicks, 5 + clicks, clicks)
            eligible = (200 if pool == "same category" else 400) - clicks
            assert row["rate"] == pytest.approx(5 / eligible)
    assert {row["kinds"] for row in found["same category"]} == {1}
    assert {row["kinds"] for row in found["uniform"]} == {1, 2}


def test_popular_items_are_drawn_more_often(folder: Path, path: Path) -> None:
    names = "".join(f"n{number},Name {number},Kind,1\n" for number in range(300))
    (folder / "items.csv").write_text("id,name,kind,cost\n" + names)
    lines = "".join(f"u{n},q,n{n % 2},2026-01-01\n" for n in range(600))
    (folder / "events.csv").write_text("user,page,item,time\n" + lines)
    share = {}
    for exponent in (0.0, 1.0):
        ingest_mapping(
            mapping(
                impressions=CLICKS,
                candidates={
                    "kind": "reconstructed",
                    "per_search": 3,
                    "popularity_exponent": exponent,
                },
            ),
            folder,
            path,
        )
        drawn = "FROM impressions WHERE NOT clicked AND item_id IN ('n0', 'n1')"
        share[exponent] = rows(path, f"SELECT count(*) / 600 AS share {drawn}")[0]["share"]
        path.unlink()
    # Alike: 3 of 299. By clicks + 1: weight 301 of 599 in each of three draws without replacement.
    assert share[0.0] < 0.05
    assert share[1.0] == pytest.approx(1 - (298 / 599) * (297 / 598) * (296 / 597), abs=0.08)


def test_pages_of_consecutive_rows_and_anonymous_users(folder: Path, path: Path) -> None:
    lines = "小,x,a,1\n小,x,b,0\n小,x,a,0\n大,x,a,0\n小,x,c,0\n"
    (folder / "events.csv").write_text("q,j,item,click\n" + lines, encoding="utf-8")
    part = {
        "same_search": ["q", "j"],
        "same_search_rows": "consecutive",
        "anonymous_user": "query",
        "query": "q",
        "user_id": None,
        "search_id": None,
        "position": None,
        "shown_at": None,
    }
    report = ingest_mapping(mapping(impressions=part), folder, path)
    pages = rows(
        path,
        "SELECT query, list(item_id ORDER BY item_id) AS items, user_id FROM impressions "
        "JOIN searches USING (search_id) JOIN sessions USING (session_id) "
        "GROUP BY search_id, query, user_id ORDER BY search_id",
    )
    assert [(page["query"], page["items"]) for page in pages] == [
        ("小", ["a", "b"]),
        ("小", ["a"]),
        ("大", ["a"]),
        ("小", ["c"]),
    ]
    assert report.rows["users"] == len({page["user_id"] for page in pages}) == 2


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@settings(max_examples=12, deadline=None)
@given(names=st.lists(texts, min_size=1, max_size=12), queries=st.lists(texts, min_size=12))
def test_any_text_comes_through_a_csv_file(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], queries: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    with (folder / "items.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, quoting=csv.QUOTE_ALL)
        out.writerow(["id", "name", "kind", "cost"])
        out.writerows([f"i{n}", name, "k", ""] for n, name in enumerate(names))
    with (folder / "events.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, quoting=csv.QUOTE_ALL)
        out.writerow(["user", "item", "query", "click"])
        out.writerows(["u", f"i{n}", queries[n], "1"] for n in range(len(names)))
    part = {"search_id": None, "position": None, "shown_at": None, "query": "query"}
    report = None
    try:
        report = ingest_mapping(
            mapping(impressions=part), folder, folder / "log.duckdb", max_reject_share=1.0
        )
    except EmptyLogError:
        assert all(not name.strip(" ") for name in names)
        return
    found = rows(folder / "log.duckdb", "SELECT * FROM items")
    written = {f"i{n}": name for n, name in enumerate(names) if name.strip(" ")}
    assert {row["item_id"]: row["text"] for row in found} == written
    assert report.rejects.get("items.csv: missing text", 0) == len(names) - len(written)
    asked = rows(
        folder / "log.duckdb",
        "SELECT item_id, query FROM impressions JOIN searches USING (search_id)",
    )
    expected = {f"i{n}": queries[n] if queries[n].strip(" ") else None for n in range(len(names))}
    assert {row["item_id"]: row["query"] for row in asked} == {
        key: expected[key] for key in written
    }


cells = st.sampled_from(["", "a", "b", "1", "0", "2026-01-01", "soon", "x y", "1e3"])


@settings(max_examples=12, deadline=None)
@given(st.lists(st.lists(cells, min_size=4, max_size=8).map(",".join), max_size=25))
def test_every_row_is_accepted_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    good = "u,p,a,1,2026-01-01,1"
    (folder / "items.csv").write_text(ITEMS)
    (folder / "events.csv").write_text(
        "\n".join(["user,page,item,rank,time,click", good, *lines]) + "\n"
    )
    # Every row is a page of its own, so none is folded into another.
    changed = mapping(impressions={"search_id": None})
    report = ingest_mapping(changed, folder, folder / "log.duckdb", max_reject_share=1.0)
    assert report.source_rows["impressions"] == len(lines) + 1
    assert report.rows["impressions"] + report.rows["rejects"] == len(lines) + 1
