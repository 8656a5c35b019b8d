"""What sessions are expected to do on pages that were tried out, by formula instead of by chance.

A session is taken as pages drawn independently from those tried out, until the shopper leaves.
How inclined to respond a shopper is on a visit is normal with a standard deviation called the
*intent spread*; it is integrated out by Gauss-Hermite quadrature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from footfall.simulator.behaviour import Behaviour, Floats, sigmoid
from footfall.simulator.shopper import Visit

__all__ = ["ExpectedSessions"]

_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(31)
#: No node lies further out, nor do a shopper's and a visit's together.
_WIDEST_NODE: Final = float(np.sqrt(2.0) * _NODES.max())
_WEIGHTS: Final = _NODE_WEIGHTS / _NODE_WEIGHTS.sum()


@dataclass(frozen=True, slots=True)
class ExpectedSessions:
    """Sessions made of tried-out pages.

    Attributes
    ----------
    looks, log_odds
        Of the items of each page, shape (pages, items); pages of fewer items have looks of 0.
    leave_page, leave_click
        Chance of leaving after a page without a response, and after one with a click and no
        purchase, of each visit tried out, shape (visits,).
    without_pages
        Share of visits that saw no page.
    response
        ``clicked`` or ``purchased``.
    """

    looks: Floats
    log_odds: Floats
    leave_page: Floats
    leave_click: Floats
    without_pages: float
    response: str
    behaviour: Behaviour
    most_pages: int

    @classmethod
    def of(
        cls,
        visits: Sequence[Visit],
        patience: Sequence[float],
        behaviour: Behaviour,
        response: str,
        *,
        most_pages: int,
    ) -> ExpectedSessions:
        """From ``visits`` and the relative patience of each visit's shopper."""
        chances = [
            page.chances for visit in visits for page in visit.pages if page.chances is not None
        ]
        items = max((len(each.looks) for each in chances), default=0)
        looks, log_odds = np.zeros((2, len(chances), items))
        for number, each in enumerate(chances):
            looks[number, : len(each.looks)] = each.looks
            log_odds[number, : len(each.looks)] = each.log_odds
        return cls(
            looks,
            log_odds,
            np.array([behaviour.leaving(value) for value in patience]),
            np.array([behaviour.leaving(value, clicked=True) for value in patience]),
            sum(not visit.pages for visit in visits) / max(1, len(visits)),
            response,
            behaviour,
            most_pages,
        )

    def moments(self, shift: float, spread: float) -> tuple[float, float, float]:
        """Mean responses a session, the share of sessions with one, and the mean square."""
        if not self.looks.size:
            return 0.0, 0.0, 0.0
        mean, none, square = self._given(shift + spread * _NODES) @ _WEIGHTS
        seeing = 1.0 - self.without_pages
        return float(seeing * mean), float(seeing * (1.0 - none)), float(seeing * square)

    def covariance(self, shift: float, spread: float, of_shopper: float) -> float:
        """Of the responses of two sessions of one shopper.

        ``of_shopper`` is the share of the spread's variance that is between shoppers.
        """
        if not self.looks.size:
            return 0.0
        grid = shift + spread * np.linspace(-_WIDEST_NODE, _WIDEST_NODE, 101)
        means = (1.0 - self.without_pages) * self._given(grid)[0]
        deviates = np.sqrt(of_shopper) * _NODES[:, None] + np.sqrt(1.0 - of_shopper) * _NODES
        by_shopper = np.interp(shift + spread * deviates, grid, means) @ _WEIGHTS
        return float(_WEIGHTS @ by_shopper**2 - (_WEIGHTS @ by_shopper) ** 2)

    def leaving_after_purchase(self, rate: float) -> ExpectedSessions:
        """The same pages, with another chance of leaving after a purchase."""
        known = self.behaviour.leave_after_purchase.model_copy(update={"value": rate})
        behaviour = self.behaviour.model_copy(update={"leave_after_purchase": known})
        return replace(self, behaviour=behaviour)

    def _given(self, inclination: Floats) -> Floats:
        """Mean responses, chance of none and mean square, of each inclination: shape (3, n)."""
        behaviour = self.behaviour
        clicks = self.looks * sigmoid(self.log_odds + inclination[:, None, None])
        buys = behaviour.cart_after_click.value * behaviour.purchase_after_cart.value * clicks
        idle = np.prod(1.0 - clicks, axis=2).mean(axis=1)
        unsold = np.prod(1.0 - buys, axis=2).mean(axis=1)
        # From here on every array has the shape (visits, n): patience differs by visit.
        silent_stay = np.outer(1.0 - self.leave_page, idle)
        click_stay = np.outer(1.0 - self.leave_click, unsold - idle)
        bought_stay = 1.0 - behaviour.leave_after_purchase.value
        staying = silent_stay + click_stay + (1.0 - unsold) * bought_stay
        if self.response == "purchased":
            responses, none, none_stay = buys, unsold, silent_stay + click_stay
            # Pages with responses are those with a purchase: staying has one chance after them.
            stay_after = np.full_like(staying, bought_stay)
        else:
            responses, none, none_stay = clicks, idle, silent_stay
            stay_after = (click_stay + (1.0 - unsold) * bought_stay) / np.maximum(1 - idle, 1e-12)
        page = responses.sum(axis=2)
        mean = page.mean(axis=1)
        square = (page**2 + (responses * (1.0 - responses)).sum(axis=2)).mean(axis=1)
        # Sessions of at most one page, then of two, and so on.
        total, squares = np.zeros((2, *staying.shape))
        nothing = np.ones_like(staying)
        for _ in range(self.most_pages):
            squares = square + 2.0 * mean * stay_after * total + staying * squares
            total = mean + staying * total
            nothing = (none - none_stay) + none_stay * nothing
        return np.array([each.mean(axis=0) for each in (total, nothing, squares)])
