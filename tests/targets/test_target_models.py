"""What the built-in targets and adapters show to whom, by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import target_shop as shop
from hypothesis import given, settings
from hypothesis import strategies as st
from target_shop import AT, AVAILABLE, ask

from footfall.errors import SettingError, TargetError
from footfall.simulator.targets import EVENT_SCHEMA, ITEM_SCHEMA, PageRequest
from footfall.simulator.targets.content import ContentTarget
from footfall.simulator.targets.nearest import NearestItems
from footfall.simulator.targets.popularity import PopularityTarget
from footfall.simulator.targets.random_items import RandomTarget
from footfall.simulator.targets.ranker_rows import earlier_shares, training_rows
from footfall.simulator.targets.rankers import FEATURES, RankerTarget
from footfall.simulator.targets.registry import open_target
from footfall.simulator.targets.shop_items import ShopItems
from footfall.simulator.targets.words import WordsTarget


def items_of(texts: dict[str, str], **columns: Any) -> pa.Table:
    rows = [
        {
            "item_id": item_id,
            "text": text,
            "available": True,
            **{k: v[n] for k, v in columns.items()},
        }
        for n, (item_id, text) in enumerate(texts.items())
    ]
    return pa.Table.from_pylist(rows, schema=ITEM_SCHEMA)


def taken(*rows: tuple[str, str, int], query: str | None = None) -> pa.Table:
    """Purchases: shopper, item, hour."""
    told = [
        {
            "shopper_id": who,
            "item_id": what,
            "at": AT + timedelta(hours=hour),
            "query": query,
            "purchased": True,
        }
        for who, what, hour in rows
    ]
    return pa.Table.from_pylist(told, schema=EVENT_SCHEMA)


ABCD = {"a": "tea", "b": "bread", "c": "milk", "d": "salt"}


def test_popularity_counts_clicks_and_purchases_and_ties_keep_the_items_order() -> None:
    events = taken(("u", "c", 1), ("u", "c", 2), ("v", "b", 1), ("v", "gone", 1))
    shown = {"shopper_id": "u", "item_id": "d", "at": AT, "clicked": False}
    events = pa.concat_tables([events, pa.Table.from_pylist([shown] * 9, schema=EVENT_SCHEMA)])
    target = PopularityTarget().fit(items_of(ABCD), events)
    assert target.answer([ask(), ask(limit=2, offset=1)]) == [["c", "b", "a", "d"], ["b", "a"]]


@pytest.mark.parametrize(
    "target", [PopularityTarget(), RandomTarget(), WordsTarget(), ContentTarget(encoder="words")]
)
def test_a_target_that_has_not_learned_says_so(target: Any) -> None:
    with pytest.raises(TargetError, match="has not learned any item"):
        target.answer([ask()])


def test_random_pages_go_through_all_available_items_once() -> None:
    target = RandomTarget(seed=1).fit(shop.items(), shop.no_events())
    pages = target.answer([ask(limit=7, offset=offset) for offset in range(0, 147, 7)])
    assert sorted(item for page in pages for item in page) == sorted(AVAILABLE)
    # Other shoppers, queries, days and seeds have other orders.
    own = target.answer([ask()])[0]
    others = [
        PageRequest("p2", AT),
        ask("tea"),
        PageRequest("p1", AT + timedelta(days=1)),
    ]
    assert all(page != own for page in target.answer(others))
    assert RandomTarget(seed=2).fit(shop.items(), shop.no_events()).answer([ask()])[0] != own


def test_random_pages_show_every_item_equally_often() -> None:
    target = RandomTarget().fit(shop.items(), shop.no_events())
    pages = target.answer([PageRequest(f"p{number}", AT) for number in range(4000)])
    ids, counts = np.unique(np.concatenate(pages), return_counts=True)
    assert len(ids) == len(AVAILABLE)
    # 40,000 draws of 128 items: 312 each, give or take 17.
    assert np.abs(counts - 4000 * 10 / len(AVAILABLE)).max() < 5 * 18


@pytest.mark.parametrize("count", [1, 2, 3, 64, 65])
def test_random_pages_of_shops_of_any_size_are_permutations(count: int) -> None:
    texts = {f"i{number}": "x" for number in range(count)}
    target = RandomTarget().fit(items_of(texts), shop.no_events())
    assert sorted(target.answer([ask(limit=100)])[0]) == sorted(texts)


def test_words_are_found_and_nothing_found_is_answered_by_popularity() -> None:
    target = WordsTarget().fit(items_of(ABCD), taken(("u", "d", 1)))
    assert target.answer([ask("milk"), ask("bread tea"), ask("beer"), ask()]) == [
        ["c"],
        ["a", "b"],
        ["d", "a", "b", "c"],
        ["d", "a", "b", "c"],
    ]


def test_content_shows_what_is_like_the_history_and_like_the_query() -> None:
    texts = {f"t{n}": f"green tea x{n}" for n in range(4)} | {
        f"b{n}": f"bread y{n}" for n in range(4)
    }
    events = taken(("u", "b3", 1))
    target = ContentTarget(encoder="words").fit(items_of(texts), events)
    pages = target.answer(
        [ask(None, "t1", limit=4), ask("bread", limit=4), ask(limit=1), ask("zzz", limit=1)]
    )
    assert {item[0] for item in pages[0]} == {"t"}
    assert {item[0] for item in pages[1]} == {"b"}
    assert pages[2] == pages[3] == ["b3"]
    later = target.answer([ask(None, "b1", *["t1"] * 9, limit=1)])
    assert later[0][0].startswith("t")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("content", {"encoder": "x"}),
        ("content", {"recency": 0.0}),
        ("content", {"history_weight": -1.0}),
        ("content", {"history_weight": np.nan}),
        ("random", {"seed": "x"}),
        ("als", {"factors": 2.5}),
        ("als", {"factors": "64"}),
        ("als", {"iterations": 0}),
        ("als", {"seed": -1}),
        ("als", {"alpha": np.nan}),
        ("als", {"regularization": -1.0}),
    ],
)
def test_options_out_of_range_are_refused_before_anything_is_learned(
    name: str, wrong: dict[str, Any]
) -> None:
    if name == "als":
        pytest.importorskip("implicit")
    with pytest.raises(SettingError, match=f"{next(iter(wrong))} "):
        open_target(name, options=wrong)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 700),
    depth=st.integers(0, 40),
    seed=st.integers(0, 99),
    ties=st.booleans(),
)
def test_the_nearest_items_are_those_that_sorting_everything_finds(
    count: int, depth: int, seed: int, ties: bool
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, 3)).astype(np.float32)
    if ties:
        vectors = np.sign(vectors)
    wanted = np.sign(rng.standard_normal((4, 3))).astype(np.float32)
    expected = np.argsort(-(wanted @ vectors.T), axis=1, kind="stable")[:, :depth]
    found = NearestItems(vectors).best(wanted, depth)
    if ties:
        assert found.tolist() == expected.tolist()
    else:
        scores = wanted @ vectors.T
        np.testing.assert_allclose(
            np.take_along_axis(scores, found, axis=1),
            np.take_along_axis(scores, expected, axis=1),
            rtol=1e-5,
            atol=1e-6,
        )


def test_als_shows_people_what_those_like_them_took() -> None:
    pytest.importorskip("implicit")
    from footfall.simulator.targets.als import ALSTarget

    events = taken(
        *[(f"x{n}", item, n) for n in range(8) for item in ("a", "b")],
        *[(f"y{n}", item, n) for n in range(9) for item in ("c", "d")],
    )
    target = ALSTarget(factors=4).fit(items_of({**ABCD, "cold": "new"}), events)
    pages = target.answer([ask(None, "a", limit=2), ask(None, "c", limit=2), ask(limit=2)])
    assert [set(page) for page in pages] == [{"a", "b"}, {"c", "d"}, {"c", "d"}]
    # What nobody took yet has no vector: it comes last, and says nothing of a shopper.
    assert target.answer([ask(None, "cold"), ask(None, "a")])[0][:2] == ["c", "d"]
    assert target.answer([ask(None, "a")])[0][-1] == "cold"
    with pytest.raises(SettingError, match="factors"):
        ALSTarget(factors=0)


@pytest.mark.parametrize("kind", ["als", "bpr"])
def test_what_nobody_known_took_is_popular_and_teaches_a_factorisation_nothing(kind: str) -> None:
    pytest.importorskip("implicit")
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    from footfall.simulator.targets.als import ALSTarget, ImplicitTarget

    nobody = {"shopper_id": None, "item_id": "d", "at": AT, "purchased": True}
    events = taken(*[(f"x{n}", item, n) for n in range(8) for item in ("a", "b")])
    events = pa.concat_tables([events, pa.Table.from_pylist([nobody] * 9, schema=EVENT_SCHEMA)])
    if kind == "als":
        target: ImplicitTarget = ALSTarget(factors=4)
    else:
        model = BayesianPersonalizedRanking(factors=4, random_state=1, num_threads=1)
        target = ImplicitTarget(model)
    target.fit(items_of(ABCD), events)
    new, alike, last = target.answer([ask(None, "d"), ask(None, "a"), ask()])
    assert new == last == ["d", "a", "b", "c"]
    assert set(alike[:2]) == {"a", "b"}
    assert alike[2:] == ["d", "c"]


def test_a_factorisation_without_fold_in_is_given_the_mean_of_the_history() -> None:
    pytest.importorskip("implicit")
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    from footfall.simulator.targets.als import ImplicitTarget

    events = taken(
        *[(f"x{n}", item, n) for n in range(40) for item in ("a", "b")],
        *[(f"y{n}", item, n) for n in range(40) for item in ("c", "d")],
    )
    model = BayesianPersonalizedRanking(
        factors=4, iterations=300, learning_rate=0.1, random_state=1, num_threads=1
    )
    target = ImplicitTarget(model).fit(items_of(ABCD), events)
    pages = target.answer([ask(None, "a", limit=2), ask(None, "d", limit=2)])
    assert [set(page) for page in pages] == [{"a", "b"}, {"c", "d"}]


# --- rankers ---


def test_shares_count_what_was_taken_before_and_not_at_the_same_moment() -> None:
    items = items_of(ABCD)
    events = taken(("u", "a", 1), ("u", "b", 1), ("u", "c", 2), ("u", "a", 3), ("v", "c", 9))
    rows = training_rows(events, ShopItems.of(items, events), seed=0)
    real = rows.response
    # Items a and b are one category, c and d another.
    shares = earlier_shares(rows, np.array([0, 0, 1, 1]))
    told = list(zip(rows.place[real].tolist(), shares[real].tolist(), strict=True))
    assert told == [(0, 0.0), (1, 0.0), (2, 0.0), (0, pytest.approx(2 / 3)), (2, 0.0)]
    assert (~real).sum() == 4 * real.sum()


def test_shown_items_without_a_response_need_nothing_in_their_place() -> None:
    shown = [
        {"shopper_id": "u", "item_id": item, "at": AT, "clicked": item == "a", "query": "tea"}
        for item in ("a", "b", "unknown")
    ]
    events = pa.Table.from_pylist(shown, schema=EVENT_SCHEMA)
    rows = training_rows(events, ShopItems.of(items_of(ABCD), events), seed=0)
    assert rows.place.tolist() == [0, 1]
    assert rows.response.tolist() == [True, False]
    assert rows.query.tolist() == ["tea", "tea"]


class Remembers:
    """A model that keeps what it is fitted on and scores by one column."""

    def __init__(self, column: str) -> None:
        self.column = FEATURES.index(column)

    def fit(self, features: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> None:
        self.features, self.labels = features, labels

    def decision_function(self, features: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return features[:, self.column]


def test_the_features_of_a_ranker_are_what_its_documentation_says() -> None:
    items = items_of(
        ABCD,
        price=[np.e, None, 1.0, -1.0],
        category=["x", "x", "y", None],
        brand=["k", "l", "k", None],
        first_seen=[AT - timedelta(days=1), None, AT + timedelta(days=9), AT],
    )
    shown = [
        {"shopper_id": "u", "item_id": "a", "at": AT, "clicked": True, "query": "tea"},
        {"shopper_id": "u", "item_id": "c", "at": AT, "clicked": False, "query": "tea"},
        {"shopper_id": "u", "item_id": "b", "at": AT + timedelta(days=1), "clicked": True},
        {"shopper_id": "u", "item_id": "a", "at": AT + timedelta(days=1), "clicked": False},
    ]
    model = Remembers("log_popularity")
    RankerTarget(model).fit(items, pa.Table.from_pylist(shown, schema=EVENT_SCHEMA))
    rows = {
        tuple(np.round(row, 4)): label
        for row, label in zip(model.features, model.labels, strict=True)
    }
    one, two = (float(np.round(np.log1p(n), 4)) for n in (1, 2))
    assert rows == {
        # popularity without the own response, price, known, age, category, brand, item, word, query
        (0.0, 1.0, 1.0, one, 0.0, 0.0, 0.0, 1.0, 1.0): 1,
        (0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0): 0,
        (0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0): 1,
        (one, 1.0, 1.0, two, 1.0, 1.0, 1.0, 0.0, 0.0): 0,
    }


def test_a_ranker_orders_by_its_model_and_leaves_queries_that_it_never_saw_to_words() -> None:
    items = items_of(ABCD, category=["x", "x", "y", "y"])
    events = taken(("u", "a", 1), ("u", "b", 2), ("v", "c", 1), ("v", "c", 2))
    target = RankerTarget(Remembers("category_share")).fit(items, events)
    assert target.answer([ask(None, "b", limit=2), ask("milk", "b"), ask(None, "d", limit=2)]) == [
        ["a", "b"],
        ["c"],
        ["c", "d"],
    ]
    assert target.name == "Remembers"


def test_a_ranker_that_knows_queries_is_asked_about_them() -> None:
    texts = {"a": "tea", "b": "tea tea", "c": "milk"}
    events = taken(("u", "a", 1), ("v", "b", 1), ("v", "b", 3), query="tea")
    items = items_of(texts)
    by_popularity = RankerTarget(Remembers("log_popularity")).fit(items, events)
    assert by_popularity.answer([ask("tea")]) == [["b", "a"]]
    by_words = RankerTarget(Remembers("word_rank")).fit(items, events)
    assert by_words.answer([ask("tea")]) == [WordsTarget().fit(items, events).found("tea", 10)]
    assert set(by_words.answer([ask("beer")])[0]) == set(texts)


def test_a_model_that_cannot_score_is_an_error() -> None:
    class Mute:
        def fit(self, features: Any, labels: Any) -> None: ...

    target = RankerTarget(Mute()).fit(shop.items(), shop.events())
    with pytest.raises(TypeError, match="predict_proba"):
        target.answer([ask()])


def test_moments_without_a_shopper_or_time_are_not_learned_from() -> None:
    rows = [
        {"shopper_id": None, "item_id": "a", "at": AT, "clicked": True},
        {"shopper_id": "u", "item_id": "a", "at": None, "clicked": True},
    ]
    events = pa.Table.from_pylist(rows, schema=EVENT_SCHEMA)
    target = RankerTarget(Remembers("log_age")).fit(items_of(ABCD), events)
    assert len(target.answer([PageRequest("u", datetime(1960, 1, 1))])[0]) == 4
