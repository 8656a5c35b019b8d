"""Maximum-likelihood fit of the behaviour curves on a real log.

What the log records is fitted; what it does not record keeps its documented prior and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression

from footfall.errors import NoResponseError
from footfall.simulator.behaviour import Behaviour, Floats, Rate, sigmoid
from footfall.simulator.catalog import utc_moment
from footfall.simulator.log import Log

__all__ = ["FitData", "fit_behaviour", "read_response_counts"]

#: Fewest shown rows at a position for its rate to be fitted.
_MINIMUM_SHOWN = 200
#: Gaussian prior of the two weights (mean 0): keeps a small sample from overstating them.
_WEIGHT_DEVIATION = 1.0


@dataclass(frozen=True, slots=True)
class FitData:
    """Real impressions to fit the click curve on; all arrays of shape (impressions,).

    ``preference``, ``affinity`` and ``popularity`` are centred within their slate; 0 where unknown.
    None of them may know the response itself: take them from the time before the slate.
    """

    response: Floats
    position: Floats
    preference: Floats
    affinity: Floats
    popularity: Floats


def read_response_counts(log: Log, *, until: datetime | None = None) -> dict[str, int]:
    """How often the real log shows, clicks, carts and buys before ``until``."""
    row = log.query(
        """
        SELECT count(*) AS shown, count(clicked) AS click_known, count(carted) AS cart_known,
               count(purchased) AS purchase_known, count(position) AS position_known,
               count(*) FILTER (clicked) AS clicked, count(*) FILTER (carted) AS carted,
               count(*) FILTER (purchased) AS purchased,
               count(DISTINCT search_id) AS searches
        FROM impressions WHERE origin = 'real' AND ($until IS NULL OR shown_at < $until)
        """,
        {"until": utc_moment(until)},
    ).to_pylist()[0]
    return {name: int(value) for name, value in row.items()}


def fit_behaviour(
    log: Log, data: FitData, *, until: datetime | None = None, page_size: int = 10
) -> Behaviour:
    """Fit every curve that the real log before ``until`` can tell.

    Raises
    ------
    NoResponseError
        If the log records neither clicks nor purchases.
    """
    until = utc_moment(until)
    counts = read_response_counts(log, until=until)
    if counts["clicked"] + counts["purchased"] == 0:
        raise NoResponseError(
            f"{log.path}: no impression before {until or 'the end'} was clicked or bought.",
            hint="Check the response and time columns of the mapping (a row without a time is not "
            'before any time), or set `behaviour = "prior"` under [simulation].',
        )
    prior = Behaviour()
    look = _fit_looks(log, counts, until, page_size) or prior.look
    cart, purchase = _fit_conversion(counts, prior)
    leave, stay = _fit_leaving(log, until, prior)
    conversion = 1.0 if counts["clicked"] else cart.value * purchase.value
    chance = _look_of_rows(look, data.position) * conversion
    intercept, on_preference, on_affinity, on_popularity = _fit_clicks(data, chance, counts)
    return Behaviour(
        look=look,
        intercept=intercept,
        on_preference=on_preference,
        on_affinity=on_affinity,
        on_popularity=on_popularity,
        cart_after_click=cart,
        purchase_after_cart=purchase,
        leave_after_page=leave,
        leave_after_purchase=prior.leave_after_purchase,
        next_page=stay,
    )


def _fit_looks(
    log: Log, counts: dict[str, int], until: datetime | None, page_size: int
) -> tuple[Rate, ...] | None:
    """Click rate by position relative to the first, made monotone (isotonic least squares).

    The curve ends before the first position that is shown too rarely.
    """
    if not counts["position_known"] or not counts["clicked"]:
        return None
    rows = log.query(
        """
        SELECT position, count(*) AS shown, count(*) FILTER (clicked) AS clicked
        FROM impressions
        WHERE origin = 'real' AND position BETWEEN 1 AND $last AND clicked IS NOT NULL
          AND sample_rate = 1 AND ($until IS NULL OR shown_at < $until)
        GROUP BY position ORDER BY position
        """,
        {"last": page_size, "until": until},
    )
    shown = rows["shown"].to_numpy().astype(float)
    position = rows["position"].to_numpy()
    often = (position == np.arange(1, len(position) + 1)) & (shown >= _MINIMUM_SHOWN)
    known = int(np.argmin(np.append(often, False)))
    position, shown = position[:known], shown[:known]
    clicked = rows["clicked"].to_numpy()[:known].astype(float)
    if known < 2 or clicked[0] == 0:
        return None
    rate = clicked / shown
    smooth = IsotonicRegression(increasing=False).fit_transform(position, rate, sample_weight=shown)
    error = np.sqrt(np.maximum(rate * (1 - rate), 1e-12) / shown) / smooth[0]
    note = f"clicks by position on {int(shown.sum()):,} impressions; relevance is not separated"
    return tuple(
        Rate(value=float(value / smooth[0]), standard_error=float(e), source="fitted", note=note)
        for value, e in zip(smooth, error, strict=True)
    )


def _fit_conversion(counts: dict[str, int], prior: Behaviour) -> tuple[Rate, Rate]:
    """Cart and purchase rates after a click, from whichever of them the log records."""
    clicked, carted, purchased = counts["clicked"], counts["carted"], counts["purchased"]
    if clicked and carted:
        cart = _share(carted, clicked, "carted of clicked")
        purchase = (
            _share(purchased, carted, "bought of carted")
            if counts["purchase_known"]
            else prior.purchase_after_cart
        )
        return cart, purchase
    if clicked and purchased and counts["purchase_known"]:
        bought = _share(purchased, clicked, "bought of clicked; the log has no carts")
        return bought, Rate(value=1.0, source="fitted", note="the log has no carts")
    if not clicked:
        note = "assumed high: the log records purchases only, so a click is an item picked up"
        return Rate(value=0.9, note=note), Rate(value=0.9, note=note)
    return prior.cart_after_click, prior.purchase_after_cart


def _share(part: int, whole: int, note: str) -> Rate:
    value = min(1.0, part / whole)
    return Rate(
        value=value,
        standard_error=float(np.sqrt(value * (1 - value) / whole)),
        source="fitted",
        note=f"{note}, {whole:,} of them",
    )


def _fit_leaving(log: Log, until: datetime | None, prior: Behaviour) -> tuple[Rate, Rate]:
    """Geometric stopping from pages per session; page turns from repeated queries."""
    row = log.query(
        """
        WITH pages AS (
            SELECT session_id, count(*) AS pages, count(*) FILTER (page > 1) AS turned
            FROM searches WHERE origin = 'real' AND ($until IS NULL OR searched_at < $until)
            GROUP BY session_id
        )
        SELECT count(*) AS sessions, coalesce(sum(pages), 0) AS pages,
               coalesce(sum(turned), 0) AS turned FROM pages
        """,
        {"until": until},
    ).to_pylist()[0]
    sessions, pages, turned = int(row["sessions"]), int(row["pages"]), int(row["turned"])
    stayed = pages - sessions
    if stayed < _MINIMUM_SHOWN // 4:
        return prior.leave_after_page, prior.next_page
    leave = _share(sessions, pages, "geometric stopping, sessions per page")
    return leave, _share(turned, stayed, "pages turned of pages after the first")


def _look_of_rows(look: tuple[Rate, ...], position: Floats) -> Floats:
    """Chance of having looked at each row; the mean over positions where the log has no order."""
    values = np.asarray([rate.value for rate in look])
    known = np.isfinite(position)
    index = np.clip(np.where(known, position, 1).astype(int) - 1, 0, len(values) - 1)
    return np.where(known, values[index], values.mean())


def _fit_clicks(data: FitData, chance: Floats, counts: dict[str, int]) -> list[Rate]:
    """Intercept and weights of ``P = chance * sigmoid(...)`` by penalised maximum likelihood."""
    covariates = [data.preference, data.affinity, data.popularity]
    design = np.column_stack([np.ones_like(data.response), *covariates])
    penalty = np.array([0.0, 1.0, 1.0, 1.0]) / _WEIGHT_DEVIATION**2

    def loss(weights: Floats) -> float:
        probability = np.clip(chance * sigmoid(design @ weights), 1e-9, 1 - 1e-9)
        likelihood = data.response * np.log(probability) + (1 - data.response) * np.log1p(
            -probability
        )
        return float(-likelihood.sum() + 0.5 * (penalty * weights**2).sum())

    fit = minimize(loss, x0=np.array([-1.0, 0.0, 0.0, 0.0]), method="BFGS")
    errors = np.sqrt(np.maximum(np.diag(fit.hess_inv), 0.0))
    response = "clicks" if counts["clicked"] else "purchases"
    scored = int(np.count_nonzero(data.preference))
    rows = f"{len(data.response):,} impressions, response: {response}"
    notes = (rows, f"{scored:,} scored impressions", rows, rows)
    unknown = "nothing to fit on: it counts for nothing"
    informed = [True, *(bool(np.any(values != 0)) for values in covariates)]
    return [
        Rate(value=float(w), standard_error=float(e), source="fitted", note=note)
        if fitted
        else Rate(value=0.0, note=unknown)
        for w, e, note, fitted in zip(fit.x, errors, notes, informed, strict=True)
    ]
