"""What shoppers say of themselves and the parts of a query, as categorical features."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_shop import build
from tiny_models import save_tiny_model

pytest.importorskip("torch")
pytest.importorskip("peft")

from sklearn.metrics import roc_auc_score

from footfall.errors import DataError
from footfall.finetune import ClickClassifier, ClickModel, ClickSettings
from footfall.finetune.categories import Categories

ROWS = [
    {
        "shopper_demographics": '{"age": "26", "bar": "Never", "咖啡馆": "常去"}',
        "item_category": "Places > Bars",
        "query": "Home, Alone,  SUNNY",
    },
    {
        "shopper_demographics": '{"bar": "1~3", "age": ""}',
        "item_category": "咖啡馆",
        "query": "家，一个人",
    },
    {"shopper_demographics": "{}", "item_category": None, "query": "red shoes"},
    {"shopper_demographics": None, "item_category": "Bar", "query": None},
]


def told(found, rows):
    """Values by feature, a row each; nothing where a row has none."""
    numbers = found.apply(build(rows))
    return [
        {
            name: values[number - 1]
            for name, values, number in zip(found.names, found.values, row, strict=True)
            if number
        }
        for row in numbers.tolist()
    ]


def test_demographics_habits_and_parts_of_queries_by_hand():
    found = Categories.fit(build(ROWS), ("demographics", "habit", "query_parts"), 1)
    assert told(found, ROWS) == [
        {
            "demographics.age": "26",
            "demographics.bar": "never",
            "demographics.咖啡馆": "常去",
            "habit": "never",
            "query_parts.1": "home",
            "query_parts.2": "alone",
            "query_parts.3": "sunny",
        },
        {"demographics.bar": "1~3", "query_parts.1": "家", "query_parts.2": "一个人"},
        # One text is a search, and no row of fields.
        {},
        {},
    ]
    other = {
        "shopper_demographics": '{"咖啡馆": "常去", "bar": "Never"}',
        "item_category": "咖啡馆",
    }
    # A habit is the same value whatever it is about: this one training has not seen.
    assert told(found, [other]) == [{"demographics.咖啡馆": "常去", "demographics.bar": "never"}]
    other["item_category"] = "Bar"
    assert told(found, [other])[0]["habit"] == "never"


def test_features_that_say_nothing_are_left_out():
    searches = build([{"query": "shoes", "item_category": "shoes"}] * 20)
    found = Categories.fit(searches, ("demographics", "habit", "query_parts", "brand"), 2)
    assert (found.names, found.sizes) == ((), ())
    assert Categories.fit(build(ROWS), ("habit", "query_parts"), 2).names == ()


@pytest.mark.parametrize(
    "wrong", ["not json", "[1]", "26", '{"age": {"of": 1}}', '{"age": ["26"]}']
)
def test_demographics_that_cannot_be_read_name_their_row(wrong):
    rows = build([*ROWS, {"shopper_demographics": wrong}])
    with pytest.raises(DataError, match=r"'e4'.*shopper_demographics") as caught:
        Categories.fit(rows, ("habit",), 1)
    assert caught.value.hint


def test_numbers_count_as_texts_and_nothing_as_nothing():
    said = ['{"age": 26, "Bar": " Often "}', '{"age": "26", "Bar": null}', '{"Bar": "often"}', " "]
    rows = build([{"shopper_demographics": one, "item_category": "Bar"} for one in said[:3]])
    found = Categories.fit(rows, ("demographics", "habit"), 1)
    assert found.names == ("demographics.Bar", "demographics.age", "habit")
    assert found.apply(rows).tolist() == [[1, 1, 1], [0, 1, 0], [1, 0, 1]]


def test_a_habit_is_told_by_one_field_whoever_the_shopper_is():
    # Who does not say how often they go to cheap bars is not taken at their word on bars.
    people = ['{"bars": "often", "bars_and_pubs": "x"}', '{"bars_and_pubs": "never"}']
    rows = [{"shopper_demographics": one, "item_category": "Bars"} for one in people]
    for order in (rows, rows[::-1]):
        found = told(Categories.fit(build(order), ("habit",), 1), rows)
        assert [row.get("habit") for row in found] == ["often", None]


def test_a_page_counts_once_for_the_parts_of_its_query():
    page = [{"search_id": "one", "query": "Home, alone"}] * 20
    assert Categories.fit(build(page), ("query_parts",), 2).names == ()
    two = [*page, {"search_id": "two", "query": "Home, 3,5 friends"}]
    found = Categories.fit(build(two), ("query_parts",), 2)
    assert (found.names, found.values) == (("query_parts.1",), (("home",),))


@settings(max_examples=50, deadline=None)
@given(
    people=st.lists(
        st.dictionaries(st.sampled_from(["age", "bar", "茶"]), st.sampled_from("ab茶"), max_size=3),
        min_size=1,
        max_size=8,
    ),
    kinds=st.lists(st.sampled_from(["Bar", "茶", "x > age", ""]), min_size=8, max_size=8),
    smallest=st.integers(1, 3),
)
def test_values_are_those_of_enough_rows_whatever_their_order(people, kinds, smallest):
    rows = [
        {"shopper_demographics": json.dumps(one), "item_category": kind}
        for one, kind in zip(people, kinds, strict=False)
    ]
    names = ("habit", "demographics")
    found = Categories.fit(build(rows), names, smallest)
    assert Categories.fit(build(rows[::-1]), names, smallest) == found
    seen = told(found, rows)
    for name, values in zip(found.names, found.values, strict=True):
        for value in values:
            assert sum(row.get(name) == value for row in seen) >= smallest
    assert [row.get("demographics.age") for row in seen] == [
        one.get("age") if sum(o.get("age") == one.get("age") for o in people) >= smallest else None
        for one in people
    ]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("encoder") / "bert")


def offers(rows, seed, kinds=("Bar", "Coffee House"), often=0.5):
    """Who often goes to such places accepts; where the day is fine, more do."""
    rng = np.random.default_rng(seed)
    made = []
    for n in range(rows):
        kind = kinds[n % len(kinds)]
        habits = {
            name: str(rng.choice(["never", "often"], p=[1 - often, often]))
            for name in ("Bar", "CoffeeHouse", "Tea")
        }
        said = habits[kind.replace(" ", "")]
        day = str(rng.choice(["sunny", "rain"]))
        log_odds = (2 if said == "often" else -2) + (1 if day == "sunny" else -1)
        made.append(
            {
                "search_id": f"{seed} {n}",
                "shopper_demographics": json.dumps(habits),
                "item_category": kind,
                "item_text": f"{kind} coupon",
                "query": f"Home, {day}",
                "label": bool(rng.random() < 1 / (1 + np.exp(-log_odds))),
            }
        )
    return build(made)


@pytest.mark.train
def test_habits_speak_of_kinds_that_nobody_was_offered(encoder, tmp_path):
    settings = ClickSettings(
        encoder=str(encoder), device="cpu", max_tokens=16, max_steps=2, tuning="none"
    )
    model = ClickModel(settings).fit(offers(400, 1), folder=tmp_path / "model")
    new = offers(400, 2, kinds=("Tea",))
    assert roc_auc_score(new.labels, model.predict_proba(new)) > 0.85
    # Told nothing of the habit, what is left is the weather.
    silent = new.with_column("shopper_demographics", ["{}"] * 400)
    assert 0.55 < roc_auc_score(new.labels, model.predict_proba(silent)) < 0.75
    again = ClickModel.load(tmp_path / "model")
    assert again.predict_log_odds(new) == pytest.approx(model.predict_log_odds(new), abs=1e-6)
    assert "shopper_demographics" in again.needed_columns


@pytest.mark.train
@pytest.mark.parametrize("odd", [0, 1])
def test_training_starts_with_the_categories_fitted(encoder, odd):
    settings = ClickSettings(
        encoder=str(encoder), device="cpu", max_tokens=16, max_steps=1, learning_rate=1e-9,
        head_learning_rate=1e-9, features=("price_log",),
    )  # fmt: skip
    # Nine of ten never go; somebody who says nothing accepts.
    rows = offers(600, 1, often=0.1)
    said = rows.column("shopper_demographics").tolist()
    train = rows.with_column("shopper_demographics", ["{}"] * odd + said[odd:])
    train = train.with_column("label", [True] * odd + rows.labels.tolist()[odd:])
    model = ClickModel(settings).fit(train)
    assert roc_auc_score(train.labels, model.predict_proba(train)) > 0.75

    def mean(habit):
        told = [json.dumps({"Bar": habit})] * 600
        rows = train.with_column("shopper_demographics", told)
        return model.predict_log_odds(rows.with_column("item_category", ["Bar"] * 600)).mean()

    never, often, unheard = map(mean, ("never", "often", "once"))
    assert often - never > 2
    # What training has not seen starts where the others are on average, not between them; one odd
    # row moves that by a tenth of what it says.
    assert unheard == pytest.approx(0.9 * never + 0.1 * often, abs=0.12 * (often - never))


@pytest.mark.train
def test_values_that_are_not_among_the_rows_of_the_first_fit_start_at_the_mean(encoder):
    settings = ClickSettings(
        encoder=str(encoder), device="cpu", max_tokens=16, max_steps=1, learning_rate=1e-9,
        head_learning_rate=1e-9, features=("price_log",), categories=("brand",),
        smallest_category=1, warm_start_rows=100, tuning="none",
    )  # fmt: skip
    rows = offers(400, 1)
    brands = ["common" if n % 10 else "other" for n in range(380)] + [f"b{n}" for n in range(20)]
    train = rows.with_column("item_brand", brands)
    train = train.with_column("label", [brand == "common" for brand in brands[:380]] + [False] * 20)
    model = ClickModel(settings).fit(train)

    def mean(brand):
        return model.predict_log_odds(train.with_column("item_brand", [brand] * 400)).mean()

    common, other = mean("common"), mean("other")
    late = np.array([mean(f"b{n}") for n in range(20)])
    expected = 0.9 * common + 0.1 * other
    # Most of the twenty are not among the hundred rows.
    assert np.median(late) == pytest.approx(expected, abs=0.15 * (common - other))


@pytest.mark.train
def test_the_estimator_reads_habits_where_the_rows_have_them(encoder):
    settings = {"device": "cpu", "max_tokens": 16, "max_steps": 2, "tuning": "none"}
    table = offers(200, 1).table
    whole = ClickClassifier(encoder=str(encoder), **settings).fit(table)
    assert whole.model_.settings.categories == ("habit", "query_parts")
    with pytest.raises(DataError, match="shopper_demographics"):
        whole.predict(table.drop_columns(["shopper_demographics"]))
    few = table.select(["item_text", "query", "label"])
    less = ClickClassifier(encoder=str(encoder), **settings).fit(few)
    assert less.model_.settings.categories == ("query_parts",)
    assert less.predict(few).shape == (200,)
    named = ClickSettings(categories=("habit",))
    for asked in ({"categories": ["habit"]}, {"settings": named}):
        with pytest.raises(DataError, match="item_category"):
            ClickClassifier(encoder=str(encoder), **asked, **settings).fit(few)
