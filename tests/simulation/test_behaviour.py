import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.errors import NoResponseError
from footfall.simulator.behaviour import Behaviour, Rate, centred, price_deviation, sigmoid
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


def test_average_patience_leaves_at_the_fitted_rate_and_twice_of_it_at_half():
    behaviour = Behaviour(leave_after_page=Rate(value=0.4), leave_after_click=Rate(value=0.6))
    assert behaviour.leaving(1.0, clicked=False, bought=False) == pytest.approx(0.4)
    assert behaviour.leaving(2.0, clicked=False, bought=False) == pytest.approx(0.2)
    assert behaviour.leaving(2.0, clicked=True, bought=False) == pytest.approx(0.3)
    assert behaviour.leaving(0.1, clicked=False, bought=False) == 1.0


def test_patience_does_not_keep_who_has_bought():
    behaviour = Behaviour(leave_after_purchase=Rate(value=0.7))
    assert behaviour.leaving(5.0, clicked=True, bought=True) == pytest.approx(0.7)


def test_every_covariate_moves_the_chance_of_a_click_by_its_weight():
    behaviour = Behaviour(
        intercept=Rate(value=-1.0),
        intercept_shift=Rate(value=0.25),
        on_preference=Rate(value=0.5),
        on_affinity=Rate(value=0.3),
        on_popularity=Rate(value=0.2),
        on_price=Rate(value=-0.7),
        on_appeal=Rate(value=0.9),
        on_attraction=Rate(value=0.4),
        attraction_mean=Rate(value=-3.0),
        attraction_spread=Rate(value=2.0),
    )
    two = np.array([2.0, 0.0])
    names = ("preference", "affinity", "popularity", "price", "appeal")
    nothing = dict.fromkeys(names, np.zeros(2))
    assert behaviour.click_log_odds(**nothing) == pytest.approx([-0.75, -0.75])
    for name, weight in zip(names, (0.5, 0.3, 0.2, -0.7, 0.9), strict=True):
        found = behaviour.click_log_odds(**(nothing | {name: two}))
        assert found == pytest.approx([-0.75 + 2 * weight, -0.75])
    # An attraction of -1 lies one standard deviation above the mean of -3.
    assert behaviour.click_log_odds(**nothing, attraction=-1.0) == pytest.approx([-0.35] * 2)
    assert behaviour.click_log_odds(**nothing, attraction=float("nan"))[0] == pytest.approx(-0.75)
    assert behaviour.click_probabilities(two, two, two)[1] == pytest.approx(
        sigmoid(np.array([-0.75]))[0]
    )


def test_price_deviations_are_log_ratios_around_the_slate():
    assert price_deviation([1.0, np.e**2, None, 0.0]) == pytest.approx([-1.0, 1.0, 0.0, 0.0])
    assert price_deviation([None, None]).tolist() == [0.0, 0.0]
    assert price_deviation([]).size == 0


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


def test_attraction_is_fitted_in_standard_deviations_between_scored_slates(shop_log):
    rng = np.random.default_rng(3)
    slates, size, scored = 3000, 5, 1500
    attraction = rng.normal(-4.0, 2.5, size=slates)
    units = np.where(np.arange(slates) < scored, (attraction + 4.0) / 2.5, 0.0)
    looks = np.mean([rate.value for rate in Behaviour().look[:size]])
    chance = 0.81 * looks * sigmoid(-0.5 + 0.6 * np.repeat(units, size))
    rows = slates * size
    data = FitData(
        (rng.random(rows) < chance).astype(float),
        np.full(rows, np.nan),
        *(np.zeros(rows) for _ in range(3)),
        attraction=np.repeat(np.where(np.arange(slates) < scored, attraction, np.nan), size),
        slate=np.repeat(np.arange(slates), size),
    )
    with Log.open(shop_log) as log:
        behaviour = fit_behaviour(log, data)
    assert behaviour.attraction_mean.value == pytest.approx(-4.0, abs=0.3)
    assert behaviour.attraction_spread.value == pytest.approx(2.5, abs=0.2)
    assert abs(behaviour.on_attraction.value - 0.6) < 4 * behaviour.on_attraction.standard_error
    assert behaviour.on_attraction.note == "1,500 scored slates"


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
