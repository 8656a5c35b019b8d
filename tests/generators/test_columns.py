from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.simulator.generators.categories import CategoryTree
from footfall.simulator.generators.columns import TableCodec, normal_scores
from footfall.simulator.generators.nearest import NearestInCategory

NUMBERS = st.lists(st.integers(-1000, 1000), min_size=1, max_size=80)


@given(NUMBERS)
def test_few_values_and_names_come_back_as_they_were(values):
    column = np.array(values)
    codec = TableCodec({"name": column}, categories=frozenset({"name"}))
    assert codec.decode(codec.encode({"name": column}))["name"].tolist() == column.tolist()
    assert codec.width == (0 if len(set(values)) == 1 else len(set(values)))
    assert codec.numbers == []


@given(st.lists(st.integers(0, 9), min_size=1, max_size=80))
def test_a_column_of_few_values_is_one_of_categories(values):
    column = np.array(values)
    codec = TableCodec({"count": column})
    distinct = len(set(values))
    # One value alone needs no column at all.
    assert codec.blocks == ([(0, distinct)] if distinct > 1 else [])
    assert codec.numbers == []
    assert codec.decode(codec.encode({"count": column}))["count"].tolist() == values


@pytest.mark.parametrize(("distinct", "numbers"), [(16, []), (17, [0])])
def test_a_column_of_many_values_is_one_of_numbers(distinct, numbers):
    codec = TableCodec({"count": np.arange(distinct)})
    assert codec.numbers == numbers
    assert codec.width == (1 if numbers else distinct)


def test_numbers_come_back_near_to_where_they_were():
    column = np.random.default_rng(0).lognormal(size=5000)
    codec = TableCodec({"price": column, "same": np.ones(5000)})
    assert (codec.width, codec.numbers, codec.blocks) == (1, [0], [])
    matrix = codec.encode({"price": column, "same": np.ones(5000)})
    assert abs(float(matrix.mean())) < 0.02
    assert float(matrix.std()) == pytest.approx(1.0, abs=0.02)
    back = codec.decode(matrix)
    ranks = np.argsort(np.argsort(column)), np.argsort(np.argsort(back["price"]))
    assert np.abs(ranks[0] - ranks[1]).max() < 20
    assert set(back["same"]) == {1.0}
    # What is drawn back is a value that the table has.
    assert set(back["price"]) <= set(column)


def test_a_category_that_was_never_seen_is_all_zeros():
    codec = TableCodec({"kind": np.array([1, 2, 5])}, categories=frozenset({"kind"}))
    assert codec.encode({"kind": np.array([7])}).tolist() == [[0.0, 0.0, 0.0]]


def test_normal_scores_by_hand():
    grid = np.array([1.0, 2.0, 3.0, 4.0])
    # The middle of four ranks is the middle of the normal distribution; ends are cut at 1/8.
    assert normal_scores(grid, np.array([2.5]))[0] == pytest.approx(0.0)
    assert normal_scores(grid, np.array([0.0, 9.0])).tolist() == pytest.approx(
        [-1.1503494, 1.1503494]
    )


def tree():
    return CategoryTree.build(
        ["a > x"] * 4 + ["a > y"] * 4, np.full(8, 100, np.int64), fewest=1, most=10
    )


def test_the_nearest_of_the_category_is_drawn():
    made = tree()
    features = np.arange(8.0)[:, None]
    index = NearestInCategory(made, made.item_node, features, np.ones(8), nearest=1, seed=0)
    first, second = made.item_node[0], made.item_node[7]
    rng = np.random.default_rng(0)
    found = index.draw(np.array([first, second]), np.array([[6.9], [0.2]]), rng)
    # Items 0 to 3 are of the first category, 4 to 7 of the second, wherever the features lie.
    assert found.tolist() == [3, 4]


def test_weights_decide_among_the_near_and_nothing_is_drawn_of_nothing():
    made = tree()
    features = np.zeros((8, 1))
    weights = np.array([0.0, 1.0, 0.0, 3.0, 1.0, 1.0, 1.0, 1.0])
    index = NearestInCategory(made, made.item_node, features, weights, nearest=4, seed=0)
    rng = np.random.default_rng(0)
    node = np.full(4000, made.item_node[0])
    found = index.draw(node, np.zeros((4000, 1)), rng)
    assert set(found.tolist()) == {1, 3}
    assert np.mean(found == 3) == pytest.approx(0.75, abs=0.03)
    empty = np.zeros(0, np.int64)
    none = NearestInCategory(made, empty, np.zeros((0, 1)), np.zeros(0), nearest=4, seed=0)
    assert none.draw(empty, np.zeros((0, 1)), rng).tolist() == []
