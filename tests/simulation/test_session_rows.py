from datetime import datetime, timedelta

from footfall.simulator.log import Log
from footfall.simulator.session_rows import session_key, visit_rows
from footfall.simulator.shopper import Page, ShownItem, Visit
from footfall.simulator.writer import LogWriter

START = datetime(2024, 2, 1, 12)


def later(seconds):
    return START + timedelta(seconds=seconds)


def made_visit():
    items = [
        ShownItem("a", 1, 2.5, 0.7, later(5)),
        ShownItem("b", 2, None, None, later(5), later(9), True, later(9)),
        ShownItem("c", 3, 1.0, -0.2, later(5), later(12), True),
    ]
    pages = [
        Page(1, "牛奶", "bm25", 1, later(5), items),
        Page(2, "牛奶", "bm25", 2, later(20), []),
        Page(3, None, "popularity", 1, later(30), [ShownItem("a", 1, 2.5, None, later(30))]),
    ]
    return Visit(START, later(40), "bought", pages)


def test_the_keys_sort_in_the_order_of_the_sessions():
    assert session_key("sim-1", 7) == "sim-1/000007"
    keys = [session_key("sim-1", number) for number in range(0, 2000, 37)]
    assert keys == sorted(keys)


def test_a_visit_is_written_as_it_was(tmp_path):
    rows = visit_rows(made_visit(), session_id="sim-1/000007", user_id="sim-1/p", origin="sim-1")
    with Log.create(tmp_path / "shop.duckdb") as log:
        with LogWriter(log) as writer:
            writer.submit(rows)
        (session,) = log.query("SELECT * FROM sessions").to_pylist()
        searches = log.query("SELECT * FROM searches ORDER BY search_id").to_pylist()
        shown = log.query("SELECT * FROM impressions ORDER BY search_id, position").to_pylist()
    assert session["user_id"] == "sim-1/p"
    assert (session["started_at"], session["ended_at"]) == (START, later(40))
    assert (session["ended_by"], session["origin"]) == ("bought", "sim-1")
    assert [row["search_id"] for row in searches] == [f"sim-1/000007/0{n}" for n in (1, 2, 3)]
    assert [(row["step"], row["page"], row["query"], row["answered_by"]) for row in searches] == [
        (1, 1, "牛奶", "bm25"),
        (2, 2, "牛奶", "bm25"),
        (3, 1, None, "popularity"),
    ]
    assert {row["candidates"] for row in searches} == {"simulated"}
    assert [row["searched_at"] for row in searches] == [later(5), later(20), later(30)]
    assert [row["search_id"][-2:] for row in shown] == ["01", "01", "01", "03"]
    names = ("item_id", "position", "price", "score", "clicked", "carted", "purchased")
    assert [tuple(row[name] for name in names) for row in shown[:3]] == [
        ("a", 1, 2.5, 0.7, False, False, False),
        ("b", 2, None, None, True, True, True),
        ("c", 3, 1.0, -0.2, True, True, False),
    ]
    assert [(row["shown_at"], row["clicked_at"], row["purchased_at"]) for row in shown[:3]] == [
        (later(5), None, None),
        (later(5), later(9), later(9)),
        (later(5), later(12), None),
    ]
    assert {row["sample_rate"] for row in shown} == {1.0}
    assert {row["origin"] for row in (*searches, *shown)} == {"sim-1"}


def test_a_visit_without_a_page_is_a_session_only():
    rows = visit_rows(Visit(START, START, "no query"), session_id="s", user_id="u", origin="sim-1")
    assert {name: table.num_rows for name, table in rows.tables.items()} == {
        "sessions": 1,
        "searches": 0,
        "impressions": 0,
    }
