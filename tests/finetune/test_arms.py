from __future__ import annotations

import pyarrow as pa
import pytest
from part_logs import DAY0, make_log

from footfall.errors import DataError, EmptyLogError, SettingError
from footfall.finetune import read_examples
from footfall.finetune.arms import CONTROLS, ArmRows, ArmSource
from footfall.simulator.log import Log
from footfall.simulator.schema import ARROW_SCHEMAS

UNTIL = DAY0.replace(month=3)
NEW = ["i00", "i01"]


@pytest.fixture
def log(tmp_path):
    with Log.open(make_log(tmp_path / "shop.duckdb"), read_only=False) as opened:
        opened.execute("DELETE FROM impressions WHERE item_id IN ('i00', 'i01')")
        yield opened


def source(log, **changes):
    real = read_examples(log, label="clicked", until=UNTIL)
    return ArmSource(log, real, "clicked", NEW, until=UNTIL, **changes)


def add_run(log, run, typed, *, lone=False):
    """A run whose visits take i00 or i01 after the queries given."""
    log.start_run(run, "aimed", {"knowledge_until": UNTIL.isoformat()}, seed=0)
    log.append(
        "users",
        pa.Table.from_pylist(
            [{"user_id": f"{run}/p", "locale": "en_US", "origin": run}],
            schema=ARROW_SCHEMAS["users"],
        ),
    )
    sessions, searches, shown = [], [], []
    for number, (item, query) in enumerate(typed):
        session = f"{run}/{number:06d}"
        sessions.append(
            {"session_id": session, "user_id": f"{run}/p", "started_at": DAY0, "origin": run}
        )
        searches.append(
            {
                "search_id": f"{session}/01",
                "session_id": session,
                "step": 1,
                "page": 1,
                "candidates": "simulated",
                "query": query,
                "searched_at": DAY0,
                "origin": run,
            }
        )
        page = [item] if lone else [item, "i05", "i06"]
        shown += [
            {
                "search_id": f"{session}/01",
                "item_id": each,
                "position": place + 1,
                "clicked": place == 0 and not (lone and number % 2),
                "sample_rate": 1.0,
                "origin": run,
            }
            for place, each in enumerate(page)
        ]
    for table, rows in (("sessions", sessions), ("searches", searches), ("impressions", shown)):
        log.append(table, pa.Table.from_pylist(rows, schema=ARROW_SCHEMAS[table]))


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_has_as_many_rows_as_asked_at_the_log_s_rate(log, name):
    made = ArmRows(source(log)).control(name, 90)
    assert len(made) == 90
    assert made.synthetic.all()
    assert made.labels.mean() == pytest.approx(source(log).real.labels.mean(), abs=0.12)
    if name in {"title", "neighbours"}:
        assert set(made.column("item_id")[made.labels]) == set(NEW)


def test_only_the_control_of_popularity_is_never_balanced(log):
    """It would say that all items are equally popular."""
    made = {}
    for name in ("popularity", "title"):
        balanced, popular = (
            ArmRows(source(log, beside=beside)).control(name, 90).table
            for beside in ("balanced", "popularity")
        )
        made[name] = balanced.equals(popular)
    assert made == {"popularity": True, "title": False}


def test_a_run_gives_its_responses_beside_other_items(log):
    add_run(log, "run", [("i00", f"soup {n}") for n in range(6)])
    made = ArmRows(source(log)).run("run", 12)
    assert len(made) == 12
    assert set(made.column("item_id")[made.labels]) == {"i00"}
    assert set(made.column("origin")) == {"run"}
    paged = ArmRows(source(log, beside="page")).run("run")
    assert len(paged) == 18
    assert set(paged.column("item_id")) == {"i00", "i05", "i06"}


def test_what_is_typed_for_everything_comes_last(log):
    typed = [("i00", "Shop!"), ("i01", "shop"), ("i00", "tomato"), ("i01", "bread knife")]
    add_run(log, "run", typed)
    maker = ArmRows(source(log))
    rate = round(1 / source(log).real.labels.mean())
    made = maker.run("run", 2 * rate)
    assert set(made.column("query")[made.labels]) == {"tomato", "bread knife"}
    whole = maker.run("run")
    assert int(whole.labels.sum()) == 4


def test_only_the_named_sessions_count(log):
    add_run(log, "run", [("i00", "one"), ("i00", "two"), ("i01", "three")])
    kept = pa.table({"session_id": ["run/000002"]})
    made = ArmRows(source(log)).run("run", sessions=kept)
    assert made.column("query")[made.labels].tolist() == ["three"]


def test_lone_items_keep_both_responses(log):
    add_run(log, "run", [("i00", f"offer {n}") for n in range(8)], lone=True)
    made = ArmRows(source(log)).run("run")
    assert len(made) == 8
    assert int(made.labels.sum()) == 4


def test_runs_that_know_too_much_or_say_nothing_are_refused(log):
    late = {"knowledge_until": UNTIL.replace(month=4).isoformat()}
    log.start_run("late", "aimed", late, seed=0)
    log.start_run("silent", "aimed", {}, seed=0)
    add_run(log, "empty", [])
    maker = ArmRows(source(log))
    for name in ("late", "silent", "nowhere"):
        with pytest.raises(DataError, match=name):
            maker.run(name)
    with pytest.raises(EmptyLogError, match="empty"):
        maker.run("empty")
    with pytest.raises(SettingError, match="neighbors"):
        maker.control("neighbors", 3)
