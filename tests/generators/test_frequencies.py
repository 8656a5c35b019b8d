"""Frequencies that borrow, categories that have enough data, what a page is about."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.simulator.generators.backoff import BackOff, crossed, pick
from footfall.simulator.generators.blocks import drawn_once, ranked
from footfall.simulator.generators.categories import CategoryTree, ColdItems


def test_a_context_borrows_by_its_strength():
    """Context 1 saw outcome 0 six times; its wider context saw outcome 1 twice more.

    With strength 2: 6 / 8 from its own, and 2 / 8 times 6 / 8 of outcome 0 from the wider.
    """
    model = BackOff(
        np.array([1] * 6 + [0] * 2), np.array([0] * 6 + [1] * 2), np.array([-1, 0]), strength=2.0
    )
    drawn = model.draw(np.ones(40_000, np.int64), np.random.default_rng(0))
    assert np.mean(drawn == 0) == pytest.approx(6 / 8 + 2 / 8 * 6 / 8, abs=0.01)


def test_what_was_never_seen_has_no_outcome():
    model = BackOff(np.array([1]), np.array([4]), np.array([-1, -1, 1]), strength=3.0)
    drawn = model.draw(np.array([0, 1, 2]), np.random.default_rng(0))
    assert drawn.tolist() == [-1, 4, 4]


def test_weights_count_as_observations():
    model = BackOff(
        np.zeros(2, np.int64),
        np.array([0, 1]),
        np.array([-1]),
        strength=1.0,
        weights=np.array([3.0, 1.0]),
    )
    drawn = model.draw(np.zeros(40_000, np.int64), np.random.default_rng(0))
    assert np.mean(drawn == 0) == pytest.approx(0.75, abs=0.01)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), min_size=1, max_size=40),
    st.integers(0, 2**16),
)
def test_only_seen_outcomes_are_drawn(seen, seed):
    contexts, outcomes = (np.array(column) for column in zip(*seen, strict=True))
    model = BackOff(contexts, outcomes, np.array([-1, 0, 0, 1, 1, -1]), strength=1.0)
    asked = np.arange(6).repeat(20)
    drawn = model.draw(asked, np.random.default_rng(seed))
    below = {0: {0, 1, 2, 3, 4}, 1: {0, 1, 2, 3, 4}, 5: {5}}
    for context, outcome in zip(asked.tolist(), drawn.tolist(), strict=True):
        allowed = {o for c, o in seen if c in below.get(context, {0, 1, 2, 3, 4})}
        assert outcome in allowed or (outcome == -1 and not allowed)


def test_crossed_contexts_lie_in_the_same_thing_above():
    assert crossed(np.array([-1, 0]), 2).tolist() == [-1, -1, 0, 1]


def test_pick_follows_the_weights():
    drawn = pick(np.array([0.0, 3.0, 1.0, 0.0]), 20_000, np.random.default_rng(0))
    assert np.bincount(drawn, minlength=4)[[0, 3]].tolist() == [0, 0]
    assert np.mean(drawn == 1) == pytest.approx(0.75, abs=0.01)


PATHS = ["a > x", "a > x", "a > y", "b", None, "c > z > w"]


def test_categories_with_too_little_join_the_one_above():
    tree = CategoryTree.build(PATHS, np.array([5, 5, 1, 9, 2, 1]), fewest=5)
    assert tree.names == ["", "a", "a > x", "b"]
    assert tree.parent.tolist() == [-1, 0, 1, 0]
    assert tree.end.tolist() == [4, 3, 3, 4]
    assert tree.item_node.tolist() == [2, 2, 1, 3, 0, 0]


def test_no_more_categories_than_asked_for():
    tree = CategoryTree.build(PATHS, np.array([5, 5, 1, 9, 2, 1]), fewest=1, most=3)
    assert tree.names == ["", "a", "a > x"]
    assert tree.item_node.tolist() == [2, 2, 1, 0, 0, 0]


def test_a_shop_without_categories_is_one_root():
    tree = CategoryTree.build([None, None], np.array([3, 0]), fewest=1)
    assert tree.names == [""]
    assert tree.item_node.tolist() == [0, 0]


def test_cold_items_come_from_the_nearest_category_that_has_some():
    tree = CategoryTree.build(PATHS, np.array([5, 5, 1, 9, 2, 1]), fewest=5)
    cold = ColdItems(tree, np.array([False, True, True, False, False, False]))
    generator = np.random.default_rng(0)
    nodes = np.array([2] * 50 + [1] * 50 + [3] * 50)
    drawn = cold.draw(nodes, generator).reshape(3, 50)
    assert set(drawn[0].tolist()) == {1}
    assert set(drawn[1].tolist()) == {1, 2}
    assert set(drawn[2].tolist()) == {1, 2}, "category b has none: the root's"


def test_repeated_items_are_drawn_anew_or_left_out():
    page = np.array([0, 0, 0, 1])
    answers = iter([[7, 7, 8, 7], [8], [7], [7], [7], [7]])
    kept, item = drawn_once(page, np.arange(4), lambda rows: np.array(next(answers)))
    assert kept.tolist() == [0, 1, 3], "the second 8 found no other item"
    assert item.tolist() == [7, 8, 7]
    answers = iter([[7, 7, 8, 7], [9]])
    kept, item = drawn_once(page, np.arange(4), lambda rows: np.array(next(answers)))
    assert item.tolist() == [7, 9, 8, 7]


def test_places_are_ranks_within_the_page():
    assert ranked(np.array([1, 0, 1, 1]), np.array([5.0, 9.0, 2.0, 7.0])).tolist() == [2, 1, 1, 3]
