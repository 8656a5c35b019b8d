"""Rows of the fit, made from slates by hand."""

import numpy as np
import pytest

from footfall.personas.persona import Persona
from footfall.simulator.real_slates import RealSlate, fit_data
from footfall.simulator.scoring import SlateScores


def slate(responses, *, rates=None, prices=None, popularity=None, positions=None, **persona):
    count = len(responses)
    prices = prices or [1.0] * count
    popularity = popularity or [0.0] * count
    return RealSlate(
        persona=Persona(persona_id="u", **persona),
        query=None,
        item_ids=tuple(f"i{n}" for n in range(count)),
        rows=[
            {"text": f"t{n}", "category": f"c{n}", "price": price, "popularity": times}
            for n, (price, times) in enumerate(zip(prices, popularity, strict=True))
        ],
        positions=tuple(positions or [float("nan")] * count),
        responses=tuple(responses),
        sample_rates=tuple(rates or [1.0] * count),
    )


def test_every_row_has_the_values_of_its_slate():
    slates = [
        slate(
            [True, False, False],
            prices=[1.0, np.e**3, None],
            popularity=[np.e - 1, 0, 0],
            positions=[3, 1, 2],
            interests={"c1": 1.0},
        ),
        slate([False]),
    ]
    scores = {1: SlateScores(np.array([5.0]), -2.5, 0)}
    data = fit_data(slates, scores, appeal=[np.array([0.1, 0.2, 0.3]), np.array([0.4])])
    assert data.response.tolist() == [1, 0, 0, 0]
    assert data.position[:3].tolist() == [3, 1, 2]
    assert np.isnan(data.position[3])
    assert data.slate.tolist() == [0, 0, 0, 1]
    assert data.popularity == pytest.approx([2 / 3, -1 / 3, -1 / 3, 0])
    assert data.price == pytest.approx([-1.5, 1.5, 0, 0])
    assert data.appeal == pytest.approx([0.1, 0.2, 0.3, 0.4])
    # The item of the only interest is liked best; the price says which of the others is.
    assert data.affinity[1] > data.affinity[0] > data.affinity[2]
    assert data.weight.tolist() == [1] * 4


def test_scores_reach_the_rows_of_their_slate_only():
    slates = [slate([True, False]), slate([False, True]), slate([True])]
    scores = {
        0: SlateScores(np.array([3.0, 1.0]), -1.0, 0),
        2: SlateScores(np.array([4.0]), 2.0, 0),
    }
    data = fit_data(slates, scores)
    assert data.preference.tolist() == [1.0, -1.0, 0.0, 0.0, 0.0]
    assert data.attraction[[0, 1, 4]].tolist() == [-1.0, -1.0, 2.0]
    assert np.isnan(data.attraction[2:4]).all()
    assert data.covariate("appeal").tolist() == [0.0] * 5


def test_sampled_rows_are_weighted_for_pages_of_the_given_size():
    slates = [slate([True, False, False], rates=[1.0, 0.02, 0.02])]
    assert fit_data(slates, {}, page_size=10).weight.tolist() == [1.0, 4.5, 4.5]
    assert fit_data(slates, {}, page_size=5).weight.tolist() == [1.0, 2.0, 2.0]


def test_no_slates_give_no_rows():
    data = fit_data([], {})
    assert data.response.size == data.preference.size == data.weight.size == 0
