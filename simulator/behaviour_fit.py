"""Every curve and rate of the behaviour, fitted on a real log.

What the log records is fitted by maximum likelihood, by subject: :mod:`.fit_position`,
:mod:`.fit_clicks`, :mod:`.fit_session_length`. What it does not record keeps its documented prior
and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from footfall.errors import NoResponseError
from footfall.simulator.behaviour import Behaviour, Rate
from footfall.simulator.catalog import utc_moment
from footfall.simulator.fit_clicks import COVARIATES, ClickFit, FitData, fit_clicks
from footfall.simulator.fit_position import fit_looks, look_of_rows
from footfall.simulator.fit_session_length import fit_sessions, share
from footfall.simulator.log import Log

__all__ = ["BehaviourFit", "BehaviourFitter", "FitData", "fit_behaviour", "read_response_counts"]


@dataclass(frozen=True, slots=True)
class BehaviourFit:
    """A fitted behaviour and the likelihood that its click curve gives the rows."""

    behaviour: Behaviour
    clicks: ClickFit


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
    return BehaviourFitter(log, until=until, page_size=page_size).fit(data).behaviour


class BehaviourFitter:
    """Fits the behaviour; what the covariates do not touch is read from the log once.

    Parameters
    ----------
    log, until:
        Real rows before this moment.
    page_size:
        Items on a simulated page.

    Raises
    ------
    NoResponseError
        If the log records neither clicks nor purchases.
    """

    def __init__(self, log: Log, *, until: datetime | None = None, page_size: int = 10) -> None:
        self._log = log
        self._until = utc_moment(until)
        self._page_size = page_size
        self._counts = read_response_counts(log, until=self._until)
        if self._counts["clicked"] + self._counts["purchased"] == 0:
            raise NoResponseError(
                f"{log.path}: no impression before {self._until or 'the end'} was clicked or "
                "bought.",
                hint="Check the response and time columns of the mapping (a row without a time "
                'is not before any time), or set `behaviour = "prior"` under [simulation].',
            )
        clicks = self._counts["clicked"] > 0
        self._sessions = fit_sessions(log, until=self._until, clicks_known=clicks)
        self._look: tuple[Rate, ...] | None = None

    @property
    def mean_slate(self) -> float:
        """Mean number of items on a real slate that the log keeps."""
        return self._counts["shown"] / self._counts["searches"]

    def fit(self, data: FitData) -> BehaviourFit:
        """Fit the click curve on ``data``; the position curve is that of the first call."""
        prior = Behaviour()
        counts = self._counts
        if self._look is None:
            clicks = counts["clicked"] > 0
            found = fit_looks(
                self._log,
                data,
                clicks=clicks,
                until=self._until,
                page_size=self._page_size,
            )
            self._look = found or prior.look
        cart, purchase = _fit_conversion(counts, prior)
        mean, spread = _attraction_units(data)
        conversion = 1.0 if counts["clicked"] else cart.value * purchase.value
        scaled = _scaled(data, mean, spread)
        fit = fit_clicks(scaled, look_of_rows(self._look, data) * conversion)
        notes = _notes(data, "clicks" if counts["clicked"] else "purchases")
        sessions = self._sessions
        behaviour = Behaviour(
            look=self._look,
            **_curve(fit, notes, keeps_responses_only=bool((data.response > 0).all())),
            attraction_mean=mean,
            attraction_spread=spread,
            cart_after_click=cart,
            purchase_after_cart=purchase,
            browsing=sessions.browsing,
            leave_after_page=sessions.leave_after_page,
            leave_after_click=sessions.leave_after_click,
            leave_after_purchase=sessions.leave_after_purchase,
            next_page=sessions.next_page,
            new_need=sessions.new_need,
        )
        return BehaviourFit(behaviour, fit)


def _curve(fit: ClickFit, notes: dict[str, str], *, keeps_responses_only: bool) -> dict[str, Rate]:
    """The click curve's numbers; priors where the log keeps no impression without a response."""
    if not keeps_responses_only:
        weights = {f"on_{name}": fit.rate(name, notes[name]) for name in COVARIATES}
        return {"intercept": fit.rate("intercept", notes["intercept"]), **weights}
    prior = Behaviour()
    note = "assumed: the log keeps no impression without a response"
    names = ("intercept", *(f"on_{name}" for name in COVARIATES))
    return {name: getattr(prior, name).model_copy(update={"note": note}) for name in names}


def _fit_conversion(counts: dict[str, int], prior: Behaviour) -> tuple[Rate, Rate]:
    """Cart and purchase rates after a click, from whichever of them the log records."""
    clicked, carted, purchased = counts["clicked"], counts["carted"], counts["purchased"]
    if clicked and carted:
        cart = share(carted, clicked, "carted of clicked")
        purchase = (
            share(purchased, carted, "bought of carted")
            if counts["purchase_known"]
            else prior.purchase_after_cart
        )
        return cart, purchase
    if clicked and purchased and counts["purchase_known"]:
        bought = share(purchased, clicked, "bought of clicked; the log has no carts")
        return bought, Rate(value=1.0, source="fitted", note="the log has no carts")
    if not clicked:
        note = "assumed high: the log records purchases only, so a click is an item picked up"
        return Rate(value=0.9, note=note), Rate(value=0.9, note=note)
    return prior.cart_after_click, prior.purchase_after_cart


def _attraction_units(data: FitData) -> tuple[Rate, Rate]:
    """Mean and standard deviation between scored slates of the engine's attraction."""
    prior = Behaviour()
    if data.attraction is None:
        return prior.attraction_mean, prior.attraction_spread
    first = np.unique(data.slates(), return_index=True)[1]
    values = data.attraction[first]
    values = values[np.isfinite(values)]
    if len(values) < 2 or values.std() < 1e-9:
        return prior.attraction_mean, prior.attraction_spread
    spread = float(values.std(ddof=1))
    note = f"{len(values):,} scored slates"
    return (
        Rate(
            value=float(values.mean()),
            standard_error=spread / len(values) ** 0.5,
            source="fitted",
            note=note,
        ),
        Rate(
            value=spread,
            standard_error=spread / (2 * (len(values) - 1)) ** 0.5,
            source="fitted",
            note=note,
        ),
    )


def _scaled(data: FitData, mean: Rate, spread: Rate) -> FitData:
    """The data with attraction in the units that the behaviour applies; 0 where not scored."""
    if data.attraction is None or mean.source == "prior":
        return replace(data, attraction=None)
    units = Behaviour(attraction_mean=mean, attraction_spread=spread)
    return replace(data, attraction=units.attraction_units(data.attraction))


def _notes(data: FitData, response: str) -> dict[str, str]:
    rows = f"{len(data.response):,} impressions, response: {response}"
    scored = f"{np.count_nonzero(data.preference):,} scored impressions"
    notes = dict.fromkeys(("intercept", *COVARIATES), rows)
    if data.weight is not None and np.any(data.weight != 1):
        notes["intercept"] += "; rows that the log sampled are weighted"
    if data.attraction is not None:
        slates = np.unique(data.slates()[np.isfinite(data.attraction)])
        notes["attraction"] = f"{len(slates):,} scored slates"
    return notes | {"preference": scored}
