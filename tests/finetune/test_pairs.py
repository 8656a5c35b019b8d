from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from part_logs import ITEMS, make_log

from footfall.errors import EmptyLogError, NoResponseError, SettingError
from footfall.finetune.pair_slates import SlateMaker, pair_rows
from footfall.finetune.pairs import (
    PAIR_SCHEMA,
    logged_candidates,
    neighbour_pairs,
    popularity_pairs,
    pseudo_label_pairs,
    title_pairs,
)
from footfall.simulator.log import Log


@pytest.fixture
def log(tmp_path):
    with Log.open(make_log(tmp_path / "shop.duckdb"), read_only=False) as opened:
        # i00 and i01 are new: nobody met them.
        opened.execute("DELETE FROM impressions WHERE item_id IN ('i00', 'i01')")
        yield opened


def texts(log):
    rows = log.query("SELECT item_id, text FROM items").to_pylist()
    return {row["item_id"]: row["text"] for row in rows}


def test_title_pairs_ask_for_every_item_by_its_text_equally_often(log):
    pairs = title_pairs(log, "clicked", ["i00", "i01"], 10, 0)
    assert pairs["item_id"].to_pylist().count("i00") == 5
    assert pairs["query"].to_pylist() == [texts(log)[i] for i in pairs["item_id"].to_pylist()]
    real = log.query("SELECT user_id FROM sessions")["user_id"].to_pylist()
    assert set(pairs["user_id"].to_pylist()) <= set(real)


def test_neighbour_pairs_take_over_queries_of_like_items(log):
    pairs = neighbour_pairs(log, "clicked", ["i00"], 40, 0)
    # i00 is soup, and its likest items are the other soups: their queries say soup.
    asked = pairs["query"].to_pylist()
    assert np.mean(["soup" in query for query in asked]) > 0.7
    assert set(pairs["item_id"].to_pylist()) == {"i00"}
    assert all(pairs["label"].to_pylist())


def test_neighbour_pairs_keep_the_label_where_the_log_tells_both(tmp_path):
    with Log.open(make_log(tmp_path / "logged.duckdb", candidates="logged")) as log:
        assert logged_candidates(log)
        labels = neighbour_pairs(log, "clicked", ["i00"], 200, 0)["label"].to_pylist()
    # One shown item in four is clicked.
    assert 0.1 < np.mean(labels) < 0.45


def test_pseudo_labels_are_those_of_the_logs_own_model(tmp_path):
    made = make_log(tmp_path / "logged.duckdb", searches=300, people=60, candidates="logged")
    with Log.open(made, read_only=False) as log:
        # The eldest take soups, nobody else takes any; both ask the same.
        log.execute("UPDATE searches SET query = NULL")
        log.execute(
            """UPDATE impressions SET clicked = item_id IN
               (SELECT item_id FROM items WHERE text LIKE 'soup%') AND search_id IN
               (SELECT search_id FROM searches JOIN sessions USING (session_id)
                JOIN users USING (user_id) WHERE demographics LIKE '%22%')"""
        )
        log.execute("DELETE FROM impressions WHERE item_id = 'i00'")
        pairs = pseudo_label_pairs(log, "clicked", ["i00", "i01"], 600, 0)
        assert pseudo_label_pairs(log, "clicked", ["i00", "i01"], 600, 0) == pairs
        eldest = set(
            log.query("SELECT user_id FROM users WHERE demographics LIKE '%22%'")[
                "user_id"
            ].to_pylist()
        )
        with pytest.raises(NoResponseError, match="tells `clicked`"):
            pseudo_label_pairs(log, "purchased", ["i00"], 10, 0)
    rates = {}
    for pair in pairs.to_pylist():
        rates.setdefault((pair["item_id"], pair["user_id"] in eldest), []).append(pair["label"])
    # i00 is a soup that nobody was shown, i01 is bread.
    assert np.mean(rates["i00", True]) > 0.5
    assert max(np.mean(rates[key]) for key in rates if key != ("i00", True)) < 0.25


def test_popularity_pairs_follow_the_responses(log):
    pairs = popularity_pairs(log, "clicked", 2000, 0)
    counts = log.query(
        "SELECT item_id, count(*) / sum(count(*)) OVER () AS share FROM impressions WHERE clicked "
        "GROUP BY item_id"
    ).to_pylist()
    drawn = pairs["item_id"].to_pylist()
    for row in counts:
        assert drawn.count(row["item_id"]) / 2000 == pytest.approx(row["share"], abs=0.03)
    assert not {"i00", "i01"} & set(drawn)


def test_nothing_to_aim_at_is_an_error(log):
    with pytest.raises(EmptyLogError, match="aim"):
        title_pairs(log, "clicked", [], 10, 0)


def pairs_of(items, query="soup"):
    return pa.table(
        {
            "user_id": ["u00"] * len(items),
            "item_id": items,
            "query": [query] * len(items),
            "label": [True] * len(items),
        }
    ).cast(PAIR_SCHEMA)


@pytest.mark.parametrize("kind", ["popularity", "similar", "mixed", "random", "balanced"])
def test_a_slate_has_its_response_once_and_no_item_twice(log, kind):
    maker = SlateMaker(log, kind=kind, per_response=5)
    rows = maker.rows(pairs_of([f"i{n:02d}" for n in range(2, ITEMS)] * 3), "run", 0).to_pylist()
    slates = {}
    for row in rows:
        slates.setdefault(row["search_id"], []).append(row)
    assert len(slates) == 3 * (ITEMS - 2)
    for slate in slates.values():
        assert len(slate) == 6
        assert len({row["item_id"] for row in slate}) == 6
        assert sum(row["label"] for row in slate) == 1
        assert len({row["user_id"] for row in slate}) == 1
    places = [[row["label"] for row in slate].index(True) for slate in slates.values()]
    assert len(set(places)) > 3


def test_new_items_are_shown_in_vain_as_often_as_an_average_one(log):
    maker = SlateMaker(log, per_response=3)
    rows = maker.rows(pairs_of(["i05"] * 4000), "run", 0).to_pylist()
    beside = [row["item_id"] for row in rows if not row["label"]]
    share = beside.count("i00") / len(beside)
    assert share == pytest.approx(1 / (ITEMS - 1), rel=0.2)
    weights = log.query(
        "SELECT item_id, count(*) AS n FROM impressions WHERE clicked GROUP BY 1 ORDER BY n"
    ).to_pylist()
    rare, common = weights[0]["item_id"], weights[-1]["item_id"]
    assert beside.count(common) > 1.3 * beside.count(rare)


def test_balanced_items_are_taken_as_often_for_every_time_in_vain(log):
    """Whatever the log says of them: new ones as often as known ones, frequent as rare ones."""
    taken = {"i00": 900, "i01": 900, "i02": 900, "i03": 300}
    pairs = pairs_of([item for item, count in taken.items() for _ in range(count)])
    maker = SlateMaker(log, kind="balanced", per_response=1, candidates=["i00", "i01"])
    rows = maker.rows(pairs, "run", 0).to_pylist()
    assert {row["item_id"] for row in rows} == set(taken)
    for item in taken:
        labels = [row["label"] for row in rows if row["item_id"] == item]
        # Nothing stands beside itself, which favours the rarest a little.
        assert np.mean(labels) == pytest.approx(0.5, abs=0.08)


def test_where_too_few_are_taken_others_stand_beside_them(log):
    maker = SlateMaker(log, kind="balanced", per_response=3)
    rows = maker.rows(pairs_of(["i05", "i06"] * 50), "run", 0).to_pylist()
    assert len(rows) == 400
    vain = [row["item_id"] for row in rows if not row["label"]]
    assert (vain.count("i05"), vain.count("i06")) == (50, 50)
    assert len(set(vain)) > 6


def test_similar_items_answer_the_query(log):
    maker = SlateMaker(log, kind="similar", per_response=3)
    rows = maker.rows(pairs_of(["i07"] * 5, query="soup"), "run", 0).to_pylist()
    known = texts(log)
    assert all("soup" in known[row["item_id"]] for row in rows if not row["label"])


def test_balanced_items_answer_the_query_where_pages_do(log):
    known = texts(log)
    soups = [item for item, text in known.items() if "soup" in text]
    others = [item for item, text in known.items() if "soup" not in text]
    assert len(soups) > 3
    # Responses to all soups but one and to as many other things, after words of their own.
    taken = [*soups[:-1], *others[: len(soups) - 1]]
    pairs = pa.concat_tables(
        pairs_of([item] * (10 + 10 * (n % 3)), query=known[item].split()[0])
        for n, item in enumerate(taken)
    )
    kinds = {}
    for answering in (True, False):
        maker = SlateMaker(log, kind="balanced", per_response=1, answering=answering)
        rows = [row for seed in range(5) for row in maker.rows(pairs, "run", seed).to_pylist()]
        vain = [row for row in rows if not row["label"]]
        # What no response takes is not drawn, answer or not.
        assert {row["item_id"] for row in vain} == set(taken)
        # No item's words make it seem taken more often than another.
        for item in taken:
            labels = [row["label"] for row in rows if row["item_id"] == item]
            assert np.mean(labels) == pytest.approx(0.5, abs=0.08)
        asked = [row for row in vain if "soup" in row["query"]]
        kinds[answering] = np.mean(["soup" in known[row["item_id"]] for row in asked])
    assert kinds[True] > 0.85
    assert kinds[False] < 0.7


def test_only_known_and_named_items_stand_beside(log):
    maker = SlateMaker(log, per_response=6, candidates=["i01"])
    rows = maker.rows(pairs_of(["i05"] * 300), "run", 0).to_pylist()
    shown = {row["item_id"] for row in rows}
    assert "i01" in shown
    assert "i00" not in shown


def test_a_catalogue_smaller_than_the_slate_gives_shorter_ones(tmp_path):
    with Log.open(make_log(tmp_path / "shop.duckdb")) as log:
        rows = SlateMaker(log, per_response=50).rows(pairs_of(["i05"]), "run", 0)
    assert rows.num_rows == ITEMS


def test_made_rows_never_pass_for_real_ones():
    with pytest.raises(SettingError, match="real"):
        pair_rows(pairs_of(["i05"]), "real")
    rows = pair_rows(pairs_of(["i05", "i06"]), "control:x").to_pylist()
    assert [row["search_id"] for row in rows] == ["control:x/0", "control:x/1"]


def test_the_same_seed_gives_the_same_rows(log):
    maker = SlateMaker(log, kind="mixed", per_response=4)
    one, two = (maker.rows(pairs_of(["i05"] * 20), "run", 1) for _ in range(2))
    assert one.equals(two)
    assert not one.equals(maker.rows(pairs_of(["i05"] * 20), "run", 2))
