from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.errors import SettingError, TrainingError
from footfall.finetune.flattening import flattens_at


def test_the_smallest_amount_within_a_standard_error_of_the_best():
    # Paired differences from 8: of 4 they are .01 and .03 (mean .02, standard error .01: surely
    # worse), of 2 they are .3 and .3.
    curve = flattens_at({0: (0.9, 1.0), 2: (0.7, 0.8), 4: (0.41, 0.53), 8: (0.40, 0.50)})
    assert curve.enough == 8
    assert curve.gain == pytest.approx(0.95 - 0.45)
    # With differences -.01 and .03 the mean .01 is within its standard error .02.
    curve = flattens_at({0: (0.9, 1.0), 4: (0.39, 0.53), 8: (0.40, 0.50)})
    assert curve.enough == 4
    # Differences .005 and .035: mean .02 above the standard error .015; -.003 and .027: mean .012
    # below it.
    assert flattens_at({0: (0.9, 1.0), 4: (0.405, 0.535), 8: (0.40, 0.50)}).enough == 8
    assert flattens_at({0: (0.9, 1.0), 4: (0.397, 0.527), 8: (0.40, 0.50)}).enough == 4


def test_no_gain_is_zero():
    assert flattens_at({0: (0.5, 0.5), 4: (0.5, 0.5)}).enough == 0
    assert flattens_at({0: (0.5,), 4: (0.6,)}).enough == 0
    assert flattens_at({0: (0.5,), 4: (0.49,)}).enough == 4


def test_a_wider_margin_asks_for_more_proof():
    scores = {0: (0.52, 0.56), 4: (0.50, 0.50)}
    assert flattens_at(scores, margin=1.0).enough == 4
    assert flattens_at(scores, margin=3.0).enough == 0


@given(st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=2), min_size=1, max_size=6))
def test_it_is_never_more_than_the_best_amount(rows):
    curve = flattens_at(dict(enumerate(map(tuple, rows))))
    means = [sum(row) for row in rows]
    assert curve.enough <= means.index(min(means))
    assert curve.amounts == tuple(range(len(rows)))


@pytest.mark.parametrize("scores", [{}, {2: (0.1,)}, {0: (0.1,), 2: (0.1, 0.2)}, {0: ()}])
def test_curves_that_tell_nothing_are_refused(scores):
    with pytest.raises(SettingError):
        flattens_at(scores)


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(TrainingError):
        flattens_at({0: (0.1,), 2: (math.nan,)})


def test_an_amount_that_does_harm_is_never_enough():
    scores = {0: (0.9, 1.0), 4: (0.41, 0.53), 8: (0.30, 0.40)}
    # Mean and standard error: 0.0019 and 0.0009, 0.003 and 0.001.
    harms = {0: (0.0, 0.0), 4: (0.0028, 0.001), 8: (0.004, 0.002)}
    assert flattens_at(scores).enough == 8
    curve = flattens_at(scores, harms=harms, most_harm=0.003)
    assert curve.enough == 4
    assert curve.harms == tuple(harms.values())
    # A mean that is allowed is not enough, where the next seed may say otherwise.
    assert flattens_at(scores, harms=harms, most_harm=0.002).enough == 0
    assert flattens_at(scores, harms=harms, most_harm=0.002, margin=0.0).enough == 4
    assert flattens_at(scores, harms=harms, most_harm=0.001).enough == 0
    # Nothing simulated is always allowed, and needs no measure.
    assert flattens_at(scores, harms=dict.fromkeys(scores, (0.5, 0.5))).enough == 0
    with pytest.raises(SettingError, match="harm of every seed"):
        flattens_at(scores, harms=harms | {8: (0.1,)})
    with pytest.raises(SettingError, match="harm of every seed"):
        flattens_at(scores, harms={0: (0.0, 0.0), 4: (0.0, 0.0)})
    with pytest.raises(SettingError, match="most_harm"):
        flattens_at(scores, harms=harms, most_harm=-0.1)
    with pytest.raises(TrainingError):
        flattens_at(scores, harms=harms | {8: (0.1, float("nan"))})
