"""The simple simulator keeps what occurs how often, and loses what goes with what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from fidelity_world import START, UNTIL, make_log

from footfall.errors import EmptyLogError
from footfall.eval.event_chain import (
    BROWSE,
    BUY,
    CLICK,
    END,
    MORE,
    QUERY,
    EventChain,
)
from footfall.eval.event_chain import (
    START as BEGIN,
)
from footfall.eval.marginal_simulator import SIMPLE_ORIGIN, MarginalSimulator
from footfall.eval.temporary_rows import temporary_rows
from footfall.simulator.log import Log


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Iterator[Log]:
    with make_log(tmp_path_factory.mktemp("simple")) as log:
        yield log


def tiny_log(folder) -> Log:
    """Two sessions: query, click, purchase, next page; and one that opens nothing."""
    log = Log.create(folder / "tiny.duckdb")
    sessions = [
        {"session_id": name, "user_id": "u", "started_at": START, "origin": "real"}
        for name in ("a", "b")
    ]
    searches = [
        {
            "search_id": f"a{page}",
            "session_id": "a",
            "step": page,
            "query": "纯牛奶",
            "page": page,
            "candidates": "logged",
            "origin": "real",
        }
        for page in (1, 2)
    ]
    impressions = [
        {
            "search_id": f"a{page}",
            "position": position,
            "item_id": f"i{position}",
            "clicked": (page, position) == (1, 2),
            "purchased": (page, position) == (1, 2),
            "sample_rate": 1.0,
            "origin": "real",
        }
        for page in (1, 2)
        for position in (1, 2, 3)
    ]
    for table, rows in (
        ("sessions", sessions),
        ("searches", searches),
        ("impressions", impressions),
    ):
        log.append(table, pa.Table.from_pylist(rows))
    return log


def test_the_chain_counts_steps_between_events(tmp_path):
    with tiny_log(tmp_path) as log:
        chances = EventChain.fit(log, until=None).named
    assert chances == {
        (BEGIN, QUERY): 0.5,
        (BEGIN, END): 0.5,
        (QUERY, CLICK): 1.0,
        (CLICK, BUY): 1.0,
        (BUY, MORE): 1.0,
        (MORE, END): 1.0,
        # States that never occurred end the session.
        **{(state, END): 1.0 for state in (BROWSE, 5, END)},
    }


def test_the_tiny_log_is_drawn_as_it_is(tmp_path):
    with tiny_log(tmp_path) as log:
        made = MarginalSimulator.fit(log).simulate(400, 5, np.random.default_rng(0))
    searches = made["searches"].to_pylist()
    assert {row["query"] for row in searches} == {"纯牛奶"}
    assert Counter(row["page"] for row in searches)[1] == len(searches) / 2
    assert len(searches) / 2 == pytest.approx(200, abs=40)
    impressions = made["impressions"].to_pylist()
    assert len(impressions) == 3 * len(searches)
    clicked = [row for row in impressions if row["clicked"]]
    assert {row["position"] for row in clicked} == {2}
    assert all(row["purchased"] for row in clicked)
    assert sum(row["purchased"] for row in impressions) == len(clicked)
    assert {row["carted"] for row in impressions} == {None}
    assert {row["user_id"] for row in made["sessions"].to_pylist()} == {
        f"{SIMPLE_ORIGIN}/user-{k}" for k in range(5)
    }


def test_marginals_are_kept(shop):
    made = MarginalSimulator.fit(shop, until=UNTIL).simulate(3000, 500, np.random.default_rng(1))
    rates = """
        SELECT (SELECT count(*) FROM searches JOIN s USING (session_id)) / count(*) AS pages,
            (SELECT sum(clicked::INT) FROM i) / count(*) AS clicks,
            (SELECT sum(purchased::INT) FROM i) / count(*) AS purchases,
            (SELECT avg(price) FROM i) AS price,
            (SELECT avg(CASE WHEN position = 1 THEN clicked::INT END) FROM i) AS top,
            (SELECT avg((query IS NULL)::INT) FROM searches JOIN s USING (session_id)) AS browsed
        FROM s"""
    with temporary_rows(shop, made):
        found = [
            shop.query(
                f"""WITH s AS (SELECT * FROM sessions WHERE origin = $origin
                        AND (started_at < $until OR origin <> 'real')),
                    i AS (SELECT impressions.* FROM impressions JOIN searches USING (search_id)
                        JOIN s USING (session_id)) {rates}""",
                {"origin": origin, "until": UNTIL},
            ).to_pylist()[0]
            for origin in ("real", SIMPLE_ORIGIN)
        ]
    real, simple = found
    for name in ("pages", "clicks", "purchases", "price", "top", "browsed"):
        assert simple[name] == pytest.approx(real[name], rel=0.15), name


def test_what_goes_with_what_is_lost(shop):
    made = MarginalSimulator.fit(shop, until=UNTIL).simulate(3000, 500, np.random.default_rng(1))
    sql = """
        SELECT avg((starts_with(category, CASE query WHEN '纯牛奶' THEN 'dairy'
            WHEN 'brown bread' THEN 'bakery' WHEN 'green tea' THEN 'drinks'
            ELSE 'garden' END))::INT)
        FROM impressions JOIN searches USING (search_id) JOIN items USING (item_id)
        WHERE clicked AND query IS NOT NULL AND impressions.origin = ?"""
    with temporary_rows(shop, made):
        real, simple = (shop.scalar(sql, [origin]) for origin in ("real", SIMPLE_ORIGIN))
    assert real > 0.6
    assert simple == pytest.approx(0.25, abs=0.05)


def test_nothing_after_until_and_nothing_synthetic_is_learned(shop):
    fitted = MarginalSimulator.fit(shop, until=UNTIL)
    assert max(fitted.marginals.times["started_at"].to_pylist()) < UNTIL
    assert fitted.marginals.times.num_rows == shop.scalar(
        "SELECT count(*) FROM sessions WHERE origin = 'real' AND started_at < ?", [UNTIL]
    )
    with pytest.raises(EmptyLogError, match="simple simulator"):
        MarginalSimulator.fit(shop, until=START)


def test_the_same_generator_repeats(shop):
    fitted = MarginalSimulator.fit(shop)
    first, again = (fitted.simulate(50, 9, np.random.default_rng(4)) for _ in range(2))
    assert first == again
    assert fitted.simulate(50, 9, np.random.default_rng(5)) != first


def test_temporary_rows_are_seen_by_plain_names_and_never_stored(tmp_path):
    shop = make_log(tmp_path)
    before = {name: shop.count(name) for name in ("sessions", "searches", "impressions")}
    made = MarginalSimulator.fit(shop).simulate(20, 3, np.random.default_rng(0))
    with temporary_rows(shop, made):
        assert shop.count("sessions", SIMPLE_ORIGIN) == 20
        assert shop.count("sessions") == before["sessions"] + 20
    assert {name: shop.count(name) for name in before} == before
    with pytest.raises(ZeroDivisionError), temporary_rows(shop, made):
        raise ZeroDivisionError
    assert shop.count("sessions", SIMPLE_ORIGIN) == 0
    shop.close()
    with Log.open(shop.path) as again, temporary_rows(again, made):
        assert again.read_only
        assert again.count("sessions", SIMPLE_ORIGIN) == 20


def test_a_chain_without_an_end_is_cut():
    counts = np.zeros((8, 8))
    counts[BEGIN, QUERY] = counts[QUERY, QUERY] = 1
    events = EventChain.of(counts).sample(3, np.random.default_rng(0))
    assert np.bincount(events.session).tolist() == [500, 500, 500]
