"""Logs made from known weights: the fit must find them, and its errors must be honest."""

import numpy as np
import pytest

from footfall.simulator.behaviour import sigmoid
from footfall.simulator.fit_clicks import COVARIATES, FitData, fit_clicks, row_weights

TRUTH = dict(zip(COVARIATES, (0.8, 0.3, 0.6, -0.7, 0.9, 0.4), strict=True))
INTERCEPT = -1.0


def drawn(rng, slates, size, *, chance=0.6, truth=TRUTH, intercept=INTERCEPT):
    """Slates with every covariate; attraction is one value a slate."""
    count = slates * size
    values = {name: rng.normal(size=count) for name in COVARIATES}
    values["attraction"] = np.repeat(rng.normal(size=slates), size)
    log_odds = intercept + sum(truth.get(name, 0.0) * values[name] for name in COVARIATES)
    response = (rng.random(count) < chance * sigmoid(log_odds)).astype(float)
    slate = np.repeat(np.arange(slates), size)
    return FitData(response, np.full(count, np.nan), **values, slate=slate)


def test_the_weights_that_made_the_responses_are_found():
    data = drawn(np.random.default_rng(0), 3000, 10)
    fit = fit_clicks(data, np.full(len(data.response), 0.6))
    for name, truth in (TRUTH | {"intercept": INTERCEPT}).items():
        rate = fit.rate(name, "rows")
        assert rate.source == "fitted"
        assert abs(rate.value - truth) < 4 * rate.standard_error
        assert rate.standard_error < 0.05


def test_intervals_hold_the_truth_as_often_as_they_say():
    inside = []
    for seed in range(60):
        data = drawn(np.random.default_rng(seed), 60, 10)
        fit = fit_clicks(data, np.full(len(data.response), 0.6))
        rate = fit.rate("appeal", "")
        inside.append(abs(rate.value - TRUTH["appeal"]) < 1.96 * rate.standard_error)
    # 57 of 60 expected; fewer than 50 would be a chance of one in a thousand.
    assert 50 <= sum(inside) <= 60


def test_rows_that_go_together_do_not_count_as_many():
    data = drawn(np.random.default_rng(1), 400, 5)
    copies = {name: np.tile(getattr(data, name), 4) for name in ("response", "position", "slate")}
    copies |= {name: np.tile(getattr(data, name), 4) for name in COVARIATES}
    chance = np.full(len(data.response), 0.6)
    alone = fit_clicks(data, chance).rate("affinity", "")
    repeated = fit_clicks(FitData(**copies), np.tile(chance, 4)).rate("affinity", "")
    assert repeated.value == pytest.approx(alone.value, abs=0.02)
    assert repeated.standard_error > 0.9 * alone.standard_error


def test_what_does_not_vary_gets_no_weight_and_says_so():
    data = drawn(np.random.default_rng(0), 100, 10)
    bare = FitData(*(getattr(data, name) for name in ("response", "position", *COVARIATES[:3])))
    fit = fit_clicks(bare, np.ones(len(data.response)))
    for name in COVARIATES[3:]:
        rate = fit.rate(name, "rows")
        assert (rate.value, rate.source) == (0.0, "prior")
        assert "nothing to fit on" in rate.note
    assert fit.rate("popularity", "rows").source == "fitted"


@pytest.mark.parametrize("response", [0.0, 1.0])
def test_rows_that_are_all_alike_give_a_finite_fit(response):
    data = FitData(np.full(50, response), *(np.zeros(50) for _ in range(4)))
    rate = fit_clicks(data, np.full(50, 0.5)).rate("intercept", "")
    assert abs(rate.value) < 60
    assert np.isfinite(rate.standard_error)


def test_the_likelihood_is_that_of_bernoulli_rows():
    data = FitData(np.array([1.0, 0.0]), np.ones(2), *(np.zeros(2) for _ in range(3)))
    fit = fit_clicks(data, np.array([0.5, 0.5]))
    probability = 0.5 * sigmoid(fit.weights[:1])[0]
    assert fit.log_likelihood == pytest.approx([np.log(probability), np.log(1 - probability)])


def sampled(data, rng, keep):
    """The rows of which responses are all kept and the others with probability ``keep``."""
    kept = (data.response > 0) | (rng.random(len(data.response)) < keep)
    rates = np.where(data.response > 0, 1.0, keep)
    fields = {name: getattr(data, name)[kept] for name in ("response", "position", *COVARIATES)}
    slate = np.unique(data.slate[kept], return_inverse=True)[1]
    return FitData(**fields, slate=slate), rates[kept]


def test_rows_dropped_from_pages_do_not_change_the_fit():
    rng = np.random.default_rng(2)
    whole = drawn(rng, 4000, 10)
    part, rates = sampled(whole, rng, 0.2)
    weight = row_weights(part.response, rates, part.slate, page_size=10)
    assert sorted(set(weight)) == pytest.approx([1.0, 5.0])
    part = FitData(
        **{name: getattr(part, name) for name in ("response", "position", "slate", *COVARIATES)},
        weight=weight,
    )
    chance = np.full(len(part.response), 0.6)
    fit = fit_clicks(part, chance)
    for name, truth in (TRUTH | {"intercept": INTERCEPT}).items():
        rate = fit.rate(name, "")
        assert abs(rate.value - truth) < 4 * rate.standard_error
    naive = fit_clicks(
        FitData(
            **{name: getattr(part, name) for name in ("response", "position", "slate", *COVARIATES)}
        ),
        chance,
    )
    assert naive.rate("intercept", "").value > INTERCEPT + 1.0


def test_a_page_stands_for_a_store_that_no_page_can_show():
    rng = np.random.default_rng(3)
    truth = {"affinity": 0.7, "popularity": -0.4}
    whole = drawn(rng, 600, 400, chance=1.0, truth=truth, intercept=-6.0)
    part, rates = sampled(whole, rng, 9 / 400)
    weight = row_weights(part.response, rates, part.slate, page_size=10)
    fields = ("response", "position", "slate", *COVARIATES)
    part = FitData(**{name: getattr(part, name) for name in fields}, weight=weight)
    fit = fit_clicks(part, np.ones(len(part.response)))
    for name, value in truth.items():
        rate = fit.rate(name, "")
        assert abs(rate.value - value) < 4 * rate.standard_error
    # Responses of a page of 10 average rows are those of a visit.
    click = sigmoid(
        fit.weights[0]
        + sum(
            weight * part.covariate(name)
            for name, weight in zip(COVARIATES, fit.weights[1:], strict=True)
        )
    )
    a_page = 10 * np.average(click, weights=part.weight)
    assert a_page == pytest.approx(whole.response.sum() / 600, rel=0.05)


def test_weights_of_rows_sampled_from_pages_by_hand():
    response = np.array([1, 0, 0, 0, 0], dtype=float)
    rate = np.array([1, 0.5, 0.25, 1, 1])
    slate = np.array([0, 0, 0, 1, 1])
    assert row_weights(response, rate, slate, page_size=10).tolist() == [1, 2, 4, 1, 1]
    # Slates of 7 and 2 items cannot be shown on pages of two.
    assert row_weights(response, rate, slate, page_size=2).tolist() != [1, 2, 4, 1, 1]


def test_weights_of_rows_sampled_from_a_store_by_hand():
    response = np.array([1, 1, 0, 0, 0, 0, 0], dtype=float)
    rate = np.array([1, 1, 0.02, 0.02, 0.01, 0.01, 0.01])
    slate = np.array([0, 0, 0, 0, 1, 1, 1])
    # Pages of ten leave 8 and 10 places without a response, for which five rows stand.
    expected = [1, 1, *[18 / 5] * 5]
    assert row_weights(response, rate, slate, page_size=10) == pytest.approx(expected)


def test_a_long_slate_of_which_nothing_was_dropped_is_what_it_is():
    response = np.zeros(60)
    assert row_weights(response, np.ones(60), np.zeros(60, dtype=int)).tolist() == [1.0] * 60
