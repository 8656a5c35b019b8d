"""Thresholds at their edges: pass, fail, and what cannot be told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.eval.stress.rows import MeasureRow
from footfall.eval.stress.scenario import Scenario
from footfall.eval.stress.thresholds import check_thresholds


def checked(row, *, steady=None, **threshold):
    scenario = Scenario(
        name="made",
        description="Made by a test.",
        thresholds=[{"measure": "ctr", "reason": "As the test says.", **threshold}],
    )
    rows = [] if row is None else [row]
    (found,) = check_thresholds(scenario, rows, steady=None if steady is None else [steady])
    return found


def row(value, low=None, high=None, **more):
    return MeasureRow(measure="ctr", value=value, low=low, high=high, **more)


@pytest.mark.parametrize(
    ("value", "outcome"), [(0.5, "pass"), (0.4999, "fail"), (0.7, "pass"), (0.7001, "fail")]
)
def test_a_value_on_the_bound_passes_and_one_beyond_fails(value, outcome):
    assert checked(row(value, 0.1, 0.9), at_least=0.5, at_most=0.7).outcome == outcome


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (0.5, 0.6, "pass"),
        (0.49, 0.6, "cannot be told"),
        (0.4, 0.5, "cannot be told"),
        (0.4, 0.49, "fail"),
        (None, None, "cannot be told"),
    ],
)
def test_to_be_certain_the_whole_interval_has_to_be_on_one_side(low, high, outcome):
    assert checked(row(0.5, low, high), at_least=0.5, certain=True).outcome == outcome


def test_an_interval_across_both_bounds_cannot_be_told():
    wide = row(0.5, 0.1, 0.9)
    assert checked(wide, at_least=0.4, at_most=0.6, certain=True).outcome == "cannot be told"


def test_what_was_not_measured_cannot_be_told_and_says_why():
    assert checked(None, at_least=0.5).outcome == "cannot be told"
    found = checked(row(None, note="no item was shown"), at_least=0.5)
    assert (found.outcome, found.found) == ("cannot be told", "no item was shown")


BESIDE = {
    "baseline": 0.5,
    "difference": -0.1,
    "difference_low": -0.15,
    "difference_high": -0.05,
    "ratio": 0.8,
    "ratio_low": 0.7,
    "ratio_high": 0.9,
}


@pytest.mark.parametrize(
    ("threshold", "outcome"),
    [
        ({"by": "ratio", "at_least": 0.8}, "pass"),
        ({"by": "ratio", "at_least": 0.81}, "fail"),
        ({"by": "ratio", "at_least": 0.7, "certain": True}, "pass"),
        ({"by": "ratio", "at_least": 0.8, "certain": True}, "cannot be told"),
        ({"by": "ratio", "at_least": 0.91, "certain": True}, "fail"),
        ({"by": "difference", "at_least": -0.1}, "pass"),
        ({"by": "difference", "at_least": 0.0}, "fail"),
        ({"by": "difference", "at_most": -0.05, "certain": True}, "pass"),
    ],
)
def test_beside_the_baseline(threshold, outcome):
    found = checked(row(0.4, 0.3, 0.5, **BESIDE), compared_with="baseline", **threshold)
    assert found.outcome == outcome


def test_without_a_baseline_nothing_is_told_beside_it():
    found = checked(row(0.4), compared_with="baseline", at_least=1.0)
    assert found.outcome == "cannot be told"


def test_beside_steady_traffic_the_intervals_are_put_together():
    steady = row(0.5, 0.47, 0.54)
    found = checked(
        row(0.4, 0.36, 0.43), steady=steady, compared_with="steady", by="difference", at_least=-0.1
    )
    # Square and add: 0.04 below with 0.04 above, 0.03 above with 0.03 below.
    assert found.found == "-0.1 (-0.1566 to -0.05757)"
    assert found.outcome == "pass"


def test_a_ratio_to_steady_traffic_ends_where_the_difference_is_in_doubt():
    steady = row(0.5, 0.5, 0.5)
    found = checked(
        row(0.4, 0.3, 0.45), steady=steady, compared_with="steady", at_least=0.6, certain=True
    )
    # Nothing is uncertain about steady traffic: the ends are those of the value, by 0.5.
    assert found.found == "0.8 (0.6 to 0.9)"


def test_beside_a_steady_traffic_of_nothing_or_none_cannot_be_told():
    threshold = {"compared_with": "steady", "at_most": 2.0}
    assert checked(row(0.4, 0.3, 0.5), **threshold).outcome == "cannot be told"
    zero = row(0.0, 0.0, 0.0)
    found = checked(row(0.4, 0.3, 0.5), steady=zero, **threshold)
    assert (found.outcome, found.found) == ("cannot be told", "it is 0 in steady traffic")
    rare = row(0.1, 0.0, 0.2)
    assert checked(row(0.1, 0.05, 0.2), steady=rare, **threshold).outcome == "pass"
    certain = checked(row(0.1, 0.05, 0.2), steady=rare, certain=True, **threshold)
    assert certain.outcome == "cannot be told"


def test_words_and_figures_are_for_people():
    found = checked(
        row(0.4, 0.3, 0.5, **BESIDE), compared_with="baseline", at_least=0.9, certain=True
    )
    assert found.words == "ctr at least 0.9 times that of the baseline, with certainty"
    assert found.found == "0.8 (0.7 to 0.9)"
    assert found.reason == "As the test says."
    both = checked(row(0.4), at_least=0.1, at_most=0.5)
    assert both.words == "ctr at least 0.1 and at most 0.5"
    assert both.found == "0.4 (no interval)"


SPANS = st.tuples(st.floats(0.01, 1.0), st.floats(0.0, 0.9), st.floats(0.0, 3.0))


@given(SPANS, SPANS)
def test_a_ratio_lies_in_its_interval(one, other):
    def spanned(span):
        value, below, above = span
        return row(value, value * (1 - below), value * (1 + above))

    found = checked(spanned(one), steady=spanned(other), compared_with="steady", at_least=0.0)
    figures = found.found.replace("(", "").replace(")", "").replace(" to", "").split()
    if "no" not in figures:
        value, low, high = map(float, figures)
        assert low <= value * 1.001
        assert value * 0.999 <= high


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_stricter_bound_never_turns_a_failure_into_a_pass(value, bound, more):
    loose = checked(row(value), at_least=bound).outcome
    strict = checked(row(value), at_least=bound + more).outcome
    assert not (loose == "fail" and strict == "pass")
