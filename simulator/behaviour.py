"""Rates of looking, clicking, buying and leaving: fitted on the log, never left to the model.

Language models over-click and never leave; they rank. So the model's log-odds, the persona's
affinity and the item's popularity only say *which* item of a slate is preferred (all are centred
within the slate), and the curves here say *how often* anything is clicked, carted, bought or left.

The chance that the item at position ``k`` is clicked is the position-based model::

    P(click) = look[k] * sigmoid(intercept + intercept_shift + on_preference * preference
                                 + on_affinity * affinity + on_popularity * popularity
                                 + on_price * price + on_appeal * appeal
                                 + on_attraction * attraction + intent)

(Craswell et al. 2008), and a click leads to the cart and to a purchase by constant rates. All
covariates but two are deviations within the slate: ``attraction`` says how much the language
model is drawn to the slate as a whole, and ``appeal`` is relative to the log's average impression.
``intent`` is the visit's own: without it, sessions with no response at all, and with many, would
be too few.

After a page the shopper leaves, by a chance that depends on what the page led to; who stays turns
the page, or searches anew for the same need or for another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Behaviour",
    "Rate",
    "centred",
    "popularity_deviation",
    "price_deviation",
    "rate_lines",
    "sigmoid",
]

Floats = npt.NDArray[np.float64]


class Rate(BaseModel):
    """One number of the behaviour and where it comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float = Field(description="The value that shoppers use.")
    standard_error: float | None = Field(None, description="Of the fit; none for a prior.")
    source: Literal["fitted", "prior"] = Field("prior", description="Fitted on the log, or not.")
    note: str = Field("", description="What it was fitted on, or why the prior was used.")

    def figure(self) -> str:
        """Value and standard error, for people."""
        error = "" if self.standard_error is None else f" ± {self.standard_error:.2g}"
        return f"{self.value:.3g}{error}"


def rate_lines(rates: Mapping[str, Rate | tuple[Rate, ...]]) -> list[str]:
    """One line a name, in their order: figures, source and note; a curve's rates on one line."""
    lines = []
    for name, value in rates.items():
        curve = (value,) if isinstance(value, Rate) else value
        figures = ", ".join(rate.figure() for rate in curve)
        lines.append(f"{name.replace('_', ' ')}: {figures} ({curve[0].source}: {curve[0].note})")
    return lines


def _prior(value: float, note: str) -> Rate:
    return Rate(value=value, note=note)


def _default_looks() -> tuple[Rate, ...]:
    note = "power law 1/position^0.5; the form of Joachims et al. 2017, with a milder exponent"
    return tuple(_prior(float(position) ** -0.5, note) for position in range(1, 11))


class Behaviour(BaseModel):
    """All curves of one shop. Positions beyond the last fitted one look like the last one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    look: tuple[Rate, ...] = Field(
        default_factory=_default_looks, description="Chance of looking at position 1, 2, ..."
    )
    intercept: Rate = Field(
        _prior(-1.5, "about one click in five looks at an average item"),
        description="Log-odds of clicking an item of average preference that was looked at.",
    )
    on_preference: Rate = Field(
        _prior(0.5, "no real responses to fit on"),
        description="Weight of the model's preference, in standard deviations in the slate.",
    )
    on_affinity: Rate = Field(
        _prior(0.5, "no real responses to fit on"),
        description="Weight of the persona's affinity, in standard deviations in the slate.",
    )
    on_popularity: Rate = Field(
        _prior(0.3, "no real responses to fit on"),
        description="Weight of the item's popularity, per unit of log(1 + purchases and clicks).",
    )
    on_price: Rate = Field(
        _prior(0.0, "no real responses to fit on"),
        description="Weight of the price, per unit of log price above the slate's mean.",
    )
    on_appeal: Rate = Field(
        _prior(0.0, "no real responses to fit on"),
        description="Weight of the log's own response model, per unit of its log-odds.",
    )
    on_attraction: Rate = Field(
        _prior(0.0, "no real responses to fit on"),
        description="Weight of the model's attraction to the slate, in standard deviations "
        "between slates.",
    )
    attraction_mean: Rate = Field(
        _prior(0.0, "no slates scored"),
        description="Mean over slates of the model's attraction, in log-odds.",
    )
    attraction_spread: Rate = Field(
        _prior(1.0, "no slates scored"),
        description="Standard deviation between slates of the model's attraction, in log-odds.",
    )
    intercept_shift: Rate = Field(
        _prior(0.0, "not adjusted"),
        description="Added to the log-odds of every click, so that simulated sessions have as "
        "many responses as real ones.",
    )
    intent_spread: Rate = Field(
        _prior(0.0, "not fitted: all visits are alike"),
        description="Standard deviation between visits of the log-odds of their clicks: on some "
        "people want more than on others.",
    )
    intent_of_shopper: Rate = Field(
        _prior(0.0, "not fitted"),
        description="Share of that variance which is between shoppers, the same on all visits of "
        "one.",
    )
    cart_after_click: Rate = Field(
        _prior(0.5, "assumed: the log does not record carts"),
        description="Share of clicked items put into the cart.",
    )
    purchase_after_cart: Rate = Field(
        _prior(0.8, "assumed: the log does not record carts"),
        description="Share of carted items bought.",
    )
    browsing: Rate = Field(
        _prior(0.1, "assumed: the log has no queries"),
        description="Share of sessions that begin without a query.",
    )
    leave_after_page: Rate = Field(
        _prior(0.4, "assumed: the log has one page a session"),
        description="Chance of leaving after a page without a response, at average patience.",
    )
    leave_after_click: Rate = Field(
        _prior(0.5, "assumed: the log has one page a session"),
        description="Chance of leaving after a page with a click and no purchase, at average "
        "patience.",
    )
    leave_after_purchase: Rate = Field(
        _prior(0.7, "assumed: the log has one page a session"),
        description="Chance of leaving after a page with a purchase.",
    )
    next_page: Rate = Field(
        _prior(0.4, "assumed: the log has one page a session"),
        description="Of those who stay without a purchase, the share that turns the page instead "
        "of searching anew.",
    )
    new_need: Rate = Field(
        _prior(0.3, "assumed: the log has one page a session"),
        description="Of those who search anew without a purchase, the share with another need.",
    )

    def looks(self, count: int) -> Floats:
        """Chance of looking at positions 1 to ``count``, shape (count,)."""
        values = [rate.value for rate in self.look]
        values += [values[-1]] * max(0, count - len(values))
        return np.asarray(values[:count], dtype=np.float64)

    def click_log_odds(
        self,
        *,
        preference: Floats,
        affinity: Floats,
        popularity: Floats,
        price: Floats | None = None,
        appeal: Floats | None = None,
        attraction: float | Floats | None = None,
    ) -> Floats:
        """Log-odds of a click on every item that was looked at, all inputs of shape (slate,).

        Parameters
        ----------
        preference, affinity:
            Centred and scaled within the slate (:func:`centred`).
        popularity, price:
            Deviations within the slate, in log units; 0 where not given.
        appeal:
            Log-odds relative to the average impression; 0 where not given.
        attraction:
            The model's attraction to the slate as it came from the scoring, in log-odds; average
            where not given or not a number.
        """
        log_odds = (
            self.intercept.value
            + self.intercept_shift.value
            + self.on_preference.value * preference
            + self.on_affinity.value * affinity
            + self.on_popularity.value * popularity
        )
        if price is not None:
            log_odds = log_odds + self.on_price.value * price
        if appeal is not None:
            log_odds = log_odds + self.on_appeal.value * appeal
        if attraction is not None:
            log_odds = log_odds + self.on_attraction.value * self.attraction_units(attraction)
        return np.asarray(log_odds, dtype=np.float64)

    def click_probabilities(
        self,
        preference: Floats,
        affinity: Floats,
        popularity: Floats,
        *,
        price: Floats | None = None,
        appeal: Floats | None = None,
        attraction: float | Floats | None = None,
    ) -> Floats:
        """Chance of a click for every item that was looked at; see :meth:`click_log_odds`."""
        return sigmoid(
            self.click_log_odds(
                preference=preference,
                affinity=affinity,
                popularity=popularity,
                price=price,
                appeal=appeal,
                attraction=attraction,
            )
        )

    def attraction_units(self, attraction: float | Floats) -> Floats:
        """Attraction in standard deviations from the average slate's; 0 where not a number."""
        spread = max(self.attraction_spread.value, 1e-9)
        units = (np.asarray(attraction, dtype=np.float64) - self.attraction_mean.value) / spread
        return np.asarray(np.nan_to_num(units, nan=0.0, posinf=0.0, neginf=0.0))

    def intent(self, of_shopper: float, of_visit: float) -> float:
        """Log-odds to add to every click of a visit.

        ``of_shopper`` and ``of_visit`` are draws of a standard normal distribution.
        """
        share = self.intent_of_shopper.value
        drawn = np.sqrt(share) * of_shopper + np.sqrt(1.0 - share) * of_visit
        return float(self.intent_spread.value * drawn)

    def leaving(
        self, relative_patience: float = 1.0, *, clicked: bool = False, bought: bool = False
    ) -> float:
        """Chance of leaving after a page.

        Parameters
        ----------
        relative_patience:
            The shopper's patience beside the population's: one of 2 stays twice as long. After a
            purchase it does not count, because the shopper leaves for having found something.
        clicked, bought:
            Whether anything on the page was.
        """
        if bought:
            return self.leave_after_purchase.value
        rate = self.leave_after_click if clicked else self.leave_after_page
        return float(np.clip(rate.value / relative_patience, 0.02, 1.0))


def sigmoid(log_odds: Floats) -> Floats:
    """Probability of the log-odds, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * log_odds)), dtype=np.float64)


def popularity_deviation(popularity: Floats) -> Floats:
    """Log popularity of each item of one slate beside the slate's mean, shape (slate,).

    ``popularity`` counts purchases and clicks; unknown counts are 0.
    """
    logs = np.log1p(np.nan_to_num(np.asarray(popularity, dtype=np.float64)))
    return np.asarray(logs - logs.mean(), dtype=np.float64) if logs.size else logs


def price_deviation(prices: Sequence[float | None] | Floats) -> Floats:
    """Log price of each item of one slate beside the slate's mean, shape (slate,).

    Unknown prices, and those not above 0, count as average.
    """
    values = np.asarray(
        [np.nan if price is None or not price > 0 else price for price in prices],
        dtype=np.float64,
    )
    logs = np.log(values)
    if not np.isfinite(logs).any():
        return np.zeros(len(values))
    return np.asarray(np.nan_to_num(logs - np.nanmean(logs)), dtype=np.float64)


def centred(values: Floats) -> Floats:
    """Values of one slate, shifted to mean 0 and scaled to standard deviation 1.

    A slate without differences has no preference: all zeros. Missing values become 0.
    """
    values = np.asarray(values, dtype=np.float64)
    known = np.isfinite(values)
    result = np.zeros_like(values)
    if not known.any():
        return result
    spread = values[known].std()
    if spread > 1e-9:
        result[known] = (values[known] - values[known].mean()) / spread
    return result
