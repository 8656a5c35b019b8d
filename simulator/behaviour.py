"""Rates of looking, clicking, buying and leaving: fitted on the log, never left to the model.

Language models over-click and never leave; they rank. So the model's log-odds, the persona's
affinity and the item's popularity only say *which* item of a slate is preferred (all are centred
within the slate), and the curves here say *how often* anything is clicked, carted, bought or left.

The chance that the item at position ``k`` is clicked is the position-based model::

    P(click) = look[k] * sigmoid(intercept + on_preference * preference
                                 + on_affinity * affinity + on_popularity * popularity)

and a click leads to the cart and to a purchase by constant rates.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Behaviour", "Rate", "centred", "popularity_deviation", "sigmoid"]

Floats = npt.NDArray[np.float64]


class Rate(BaseModel):
    """One number of the behaviour and where it comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float = Field(description="The value that shoppers use.")
    standard_error: float | None = Field(None, description="Of the fit; none for a prior.")
    source: Literal["fitted", "prior"] = Field("prior", description="Fitted on the log, or not.")
    note: str = Field("", description="What it was fitted on, or why the prior was used.")


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
    cart_after_click: Rate = Field(
        _prior(0.5, "assumed: the log does not record carts"),
        description="Share of clicked items put into the cart.",
    )
    purchase_after_cart: Rate = Field(
        _prior(0.8, "assumed: the log does not record carts"),
        description="Share of carted items bought.",
    )
    leave_after_page: Rate = Field(
        _prior(0.4, "assumed: the log has one page a session"),
        description="Chance of leaving after a page without a purchase, at patience 2.",
    )
    leave_after_purchase: Rate = Field(
        _prior(0.7, "assumed: the log has one page a session"),
        description="Chance of leaving after a page with a purchase.",
    )
    next_page: Rate = Field(
        _prior(0.4, "assumed: the log has one page a session"),
        description="Of those who stay, the share that turns the page instead of searching anew.",
    )

    def looks(self, count: int) -> Floats:
        """Chance of looking at positions 1 to ``count``, shape (count,)."""
        values = [rate.value for rate in self.look]
        values += [values[-1]] * max(0, count - len(values))
        return np.asarray(values[:count], dtype=np.float64)

    def click_probabilities(
        self, preference: Floats, affinity: Floats, popularity: Floats
    ) -> Floats:
        """Chance of a click for every item that was looked at, all inputs of shape (slate,)."""
        return sigmoid(
            self.intercept.value
            + self.on_preference.value * preference
            + self.on_affinity.value * affinity
            + self.on_popularity.value * popularity
        )

    def leaving(self, patience: float, *, bought: bool) -> float:
        """Chance of leaving after a page; a shopper of patience p stays p/2 times as long."""
        if bought:
            return self.leave_after_purchase.value
        return float(np.clip(self.leave_after_page.value * 2.0 / patience, 0.02, 1.0))


def sigmoid(log_odds: Floats) -> Floats:
    """Probability of the log-odds, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * log_odds)), dtype=np.float64)


def popularity_deviation(popularity: Floats) -> Floats:
    """Log popularity of each item of one slate beside the slate's mean, shape (slate,).

    ``popularity`` counts purchases and clicks; unknown counts are 0.
    """
    logs = np.log1p(np.nan_to_num(np.asarray(popularity, dtype=np.float64)))
    return np.asarray(logs - logs.mean(), dtype=np.float64) if logs.size else logs


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
