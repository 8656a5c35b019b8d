"""The formulas of expected sessions, against sessions that are drawn."""

import numpy as np
import pytest

from footfall.simulator.behaviour import Behaviour, Rate
from footfall.simulator.expected_sessions import ExpectedSessions
from footfall.simulator.intent_fit import solve_intent, solve_of_shopper
from footfall.simulator.response_target import ResponseTarget

PAGES, ITEMS, VISITS = 6, 4, 3
BEHAVIOUR = Behaviour(
    cart_after_click=Rate(value=0.8),
    purchase_after_cart=Rate(value=0.7),
    leave_after_purchase=Rate(value=0.3),
)
#: Categories of the items of every page.
CATEGORIES = np.array([0, 1, 0, 1])


def expected(response, *, most_pages, leave=0.3, behaviour=BEHAVIOUR, same_patience=False):
    rng = np.random.default_rng(3)
    looks = rng.uniform(0.3, 1.0, (PAGES, ITEMS))
    looks[0] = 0.0  # nothing was found
    alike = (CATEGORIES[:, None] == CATEGORIES[None, :]) & np.tri(ITEMS, k=-1, dtype=bool)
    return ExpectedSessions(
        looks=looks,
        log_odds=rng.normal(-0.5, 1.0, (PAGES, ITEMS)),
        alike_before=np.broadcast_to(alike, (PAGES, ITEMS, ITEMS)),
        leave_page=np.full(VISITS, 0.4) if same_patience else np.array([0.1, 0.4, 0.9]),
        leave_click=np.full(VISITS, 0.3) if same_patience else np.array([0.05, 0.3, 0.7]),
        without_pages=0.1,
        giving_up=0.2,
        response=response,
        behaviour=behaviour,
        most_pages=most_pages,
    )


def drawn(sessions, shift, spread, *, of_shopper=0.0, pairs=20_000, seed=0):
    """Responses and different categories of pairs of sessions of one shopper, shape (pairs, 2)."""
    rng = np.random.default_rng(seed)
    buying = BEHAVIOUR.cart_after_click.value * BEHAVIOUR.purchase_after_cart.value
    visit = rng.integers(VISITS, size=(pairs, 1))
    intent = shift + spread * (
        np.sqrt(of_shopper) * rng.normal(size=(pairs, 1))
        + np.sqrt(1 - of_shopper) * rng.normal(size=(pairs, 2))
    )
    responses = np.zeros((pairs, 2))
    categories = np.zeros((pairs, 2))
    here = rng.random((pairs, 2)) >= sessions.without_pages
    for _ in range(sessions.most_pages):
        page = rng.integers(PAGES, size=(pairs, 2))
        chance = 1 / (1 + np.exp(-(sessions.log_odds[page] + intent[..., None])))
        clicked = rng.random((pairs, 2, ITEMS)) < sessions.looks[page] * chance
        bought = clicked & (rng.random((pairs, 2, ITEMS)) < buying)
        response = bought if sessions.response == "purchased" else clicked
        responses += here * response.sum(axis=2)
        for category in (0, 1):
            categories += here * response[..., category == CATEGORIES].any(axis=2)
        leaving = np.where(
            clicked.any(axis=2), sessions.leave_click[visit], sessions.leave_page[visit]
        )
        leaving = np.where(
            bought.any(axis=2), sessions.behaviour.leave_after_purchase.value, leaving
        )
        here &= rng.random((pairs, 2)) >= leaving
        here &= rng.random((pairs, 2)) >= sessions.giving_up
    return responses, categories


@pytest.mark.parametrize("response", ["purchased", "clicked"])
@pytest.mark.parametrize("most_pages", [1, 2, 6])
def test_moments_are_those_of_drawn_sessions(response, most_pages):
    sessions = expected(response, most_pages=most_pages)
    moments = sessions.moments(0.4, 1.5)
    found, categories = drawn(sessions, 0.4, 1.5)
    assert moments.mean == pytest.approx(found.mean(), rel=0.03)
    assert moments.responding == pytest.approx((found > 0).mean(), rel=0.03)
    assert sessions.categories(0.4, 1.5) == pytest.approx(categories.mean(), rel=0.03)
    if response == "purchased" or most_pages == 1:  # of clicks, staying after a page is averaged
        assert moments.square == pytest.approx((found**2).mean(), rel=0.05)


@pytest.mark.parametrize("of_shopper", [0.0, 0.5, 1.0])
def test_sessions_of_one_shopper_go_together_by_intent_and_patience(of_shopper):
    sessions = expected("purchased", most_pages=6)
    told = sessions.covariance(0.4, 1.5, of_shopper)
    found, _ = drawn(sessions, 0.4, 1.5, of_shopper=of_shopper, pairs=60_000)
    assert told == pytest.approx(np.cov(found.T)[0, 1], abs=0.06)
    # Patience alone goes together.
    assert told > 0.02
    same = expected("purchased", most_pages=6, same_patience=True)
    assert same.covariance(0.4, 1.5, 0.0) == pytest.approx(0.0, abs=1e-6)


def test_the_numbers_behind_the_moments_come_back():
    truth = expected("purchased", most_pages=8)
    moments = truth.moments(-0.6, 1.2)
    target = ResponseTarget(
        "purchased",
        moments.mean,
        0.0,
        1000,
        moments.responding,
        0.0,
        moments.square - moments.mean**2,
        truth.categories(-0.6, 1.2),
        truth.covariance(-0.6, 1.2, 0.35),
    )
    fit = solve_intent(truth.leaving_after_purchase(0.7), target)
    assert fit.fits_leaving
    assert fit.leaving == pytest.approx(0.3, abs=0.03)
    assert fit.shift == pytest.approx(-0.6, abs=0.05)
    assert fit.spread == pytest.approx(1.2, abs=0.1)
    assert solve_of_shopper(truth, fit, target.covariance) == pytest.approx(0.35, abs=0.05)


def test_sessions_of_one_page_leave_the_chance_of_leaving_alone():
    one = expected("purchased", most_pages=1)
    moments = one.moments(0.0, 1.0)
    target = ResponseTarget("purchased", moments.mean, 0.0, 9, moments.responding, 0.0, 5.0, 1.0)
    fit = solve_intent(one, target)
    assert (fit.leaving, fit.fits_leaving) == (0.3, False)


def test_a_fitted_chance_of_leaving_stays():
    known = BEHAVIOUR.leave_after_purchase.model_copy(update={"source": "fitted"})
    behaviour = BEHAVIOUR.model_copy(update={"leave_after_purchase": known})
    sessions = expected("purchased", most_pages=6, behaviour=behaviour)
    fit = solve_intent(sessions, ResponseTarget("purchased", 1.0, 0.0, 9, 0.4, 0.0, 5.0, 1.0))
    assert (fit.leaving, fit.fits_leaving) == (0.3, False)


def test_where_nothing_was_shown_nothing_is_expected():
    empty = ExpectedSessions.of([], [], BEHAVIOUR, "clicked", catalog=None, most_pages=3)
    assert tuple(empty.moments(0.0, 1.0)) == (0.0, 0.0, 0.0)
    assert empty.categories(0.0, 1.0) == empty.covariance(0.0, 1.0, 0.5) == 0.0
