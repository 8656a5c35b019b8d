import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.errors import NoResponseError
from footfall.simulator.behaviour import Behaviour, Rate, centred, sigmoid
from footfall.simulator.behaviour_fit import FitData, fit_behaviour
from footfall.simulator.log import Log

finite = st.floats(-50, 50, allow_nan=False)


@given(st.lists(finite, min_size=2, max_size=20))
def test_centring_gives_mean_zero_and_deviation_one_or_no_preference(values):
    result = centred(np.asarray(values))
    assert abs(result.mean()) < 1e-6
    assert abs(result.std() - 1) < 1e-6 or not result.any()


@given(st.lists(finite, min_size=2, max_size=20), st.floats(0.1, 9), finite)
def test_centring_forgets_the_scale_of_the_model(values, scale, shift):
    values = np.asarray(values)
    if values.std() > 1e-3:
        np.testing.assert_allclose(centred(values), centred(values * scale + shift), atol=1e-5)


def test_missing_scores_count_as_average():
    assert centred(np.array([1.0, np.nan, 3.0])).tolist() == [-1.0, 0.0, 1.0]
    assert not centred(np.array([np.nan, np.nan])).any()


def test_sigmoid_by_hand_and_without_overflow():
    assert sigmoid(np.array([0.0]))[0] == 0.5
    assert sigmoid(np.array([np.log(3.0)]))[0] == pytest.approx(0.75)
    assert sigmoid(np.array([-1e9, 1e9])).tolist() == [0.0, 1.0]


def test_positions_beyond_the_curve_look_like_the_last():
    behaviour = Behaviour(look=(Rate(value=1.0), Rate(value=0.5)))
    assert behaviour.looks(4).tolist() == [1.0, 0.5, 0.5, 0.5]


def test_patience_two_leaves_at_the_fitted_rate_and_four_at_half_of_it():
    behaviour = Behaviour(leave_after_page=Rate(value=0.4))
    assert behaviour.leaving(2.0, bought=False) == pytest.approx(0.4)
    assert behaviour.leaving(4.0, bought=False) == pytest.approx(0.2)
    assert behaviour.leaving(0.1, bought=False) == 1.0


def simulated_responses(log, weights, size=20_000, seed=0):
    """Purchases drawn from known weights, with the conversion that the fit assumes."""
    rng = np.random.default_rng(seed)
    looks = np.mean([rate.value for rate in Behaviour().look])
    conversion = 0.9 * 0.9
    preference, affinity, popularity = rng.normal(size=(3, size))
    weights = (*weights, 0.0)[:4]
    chance = sigmoid(
        weights[0] + weights[1] * preference + weights[2] * affinity + weights[3] * popularity
    )
    response = (rng.random(size) < looks * conversion * chance).astype(float)
    return FitData(response, np.full(size, np.nan), preference, affinity, popularity)


def test_the_fit_finds_the_weights_that_made_the_responses(shop_log):
    with Log.open(shop_log) as log:
        data = simulated_responses(log, (-0.5, 0.8, 0.3, 0.6))
        behaviour = fit_behaviour(log, data)
    fitted = (
        behaviour.intercept,
        behaviour.on_preference,
        behaviour.on_affinity,
        behaviour.on_popularity,
    )
    for rate, truth in zip(fitted, (-0.5, 0.8, 0.3, 0.6), strict=True):
        assert rate.source == "fitted"
        assert abs(rate.value - truth) < 4 * rate.standard_error + 0.02


def test_a_model_without_preference_gets_no_weight(shop_log):
    with Log.open(shop_log) as log:
        data = simulated_responses(log, (-0.5, 0.0, 0.5))
        noise = np.random.default_rng(1).normal(size=len(data.response))
        behaviour = fit_behaviour(
            log, FitData(data.response, data.position, noise, data.affinity, data.popularity)
        )
    assert abs(behaviour.on_preference.value) < 0.1


def test_rates_match_the_log_after_fitting(shop_log):
    with Log.open(shop_log) as log:
        data = simulated_responses(log, (-1.0, 0.5, 0.5))
        behaviour = fit_behaviour(log, data)
    chance = behaviour.click_probabilities(data.preference, data.affinity, data.popularity)
    bought = (
        np.mean([rate.value for rate in behaviour.look])
        * chance
        * behaviour.cart_after_click.value
        * behaviour.purchase_after_cart.value
    )
    assert bought.mean() == pytest.approx(data.response.mean(), rel=0.03)


def test_what_the_log_does_not_record_stays_a_prior_and_says_so(shop_log):
    with Log.open(shop_log) as log:
        behaviour = fit_behaviour(log, simulated_responses(log, (-1.0, 0.0, 0.0)))
    for rate in (*behaviour.look, behaviour.cart_after_click, behaviour.leave_after_page):
        assert rate.source == "prior"
        assert rate.note


def test_a_log_without_responses_is_refused(tmp_path, make_log):
    path = make_log(tmp_path / "none.duckdb", sessions=20, buy_rate=0.0)
    with Log.open(path) as log, pytest.raises(NoResponseError, match="clicked or bought"):
        fit_behaviour(log, FitData(*(np.zeros(4) for _ in range(5))))
