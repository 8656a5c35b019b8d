"""What sessions are expected to do on pages that were tried out, by formula instead of by chance.

A session is taken as pages drawn independently from those tried out, until the shopper leaves.
How inclined to respond a shopper is on a visit is normal with a standard deviation called the
*intent spread*; it is integrated out by Gauss-Hermite quadrature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from footfall.simulator.behaviour import Behaviour, Floats, sigmoid
from footfall.simulator.catalog import Catalog
from footfall.simulator.shopper import Visit

__all__ = ["ExpectedSessions", "Moments"]

_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(31)
#: No node lies further out, nor do a shopper's and a visit's together.
_WIDEST_NODE: Final = float(np.sqrt(2.0) * _NODES.max())
_WEIGHTS: Final = _NODE_WEIGHTS / _NODE_WEIGHTS.sum()


class Moments(NamedTuple):
    """Of the responses of a session: mean, share of sessions with one, mean square."""

    mean: float
    responding: float
    square: float


class _Chain(NamedTuple):
    """Chances of responses, shape (n, pages, items), and what sessions come to, (visits, n)."""

    responses: Floats
    pages: Floats
    total: Floats
    nothing: Floats
    squares: Floats


@dataclass(frozen=True, slots=True)
class ExpectedSessions:
    """Sessions made of tried-out pages.

    Attributes
    ----------
    looks, log_odds
        Of the items of each page, shape (pages, items); pages of fewer items have looks of 0.
    alike_before
        Whether another item of the page stands before the item and has its category, shape (pages,
        items, other items).
    leave_page, leave_click
        Chance of leaving after a page without a response, and after one with a click and no
        purchase, of each visit tried out, shape (visits,).
    without_pages, giving_up
        Share of visits that saw no page, and of those who stayed after one the share that found no
        words for a further query.
    response
        ``clicked`` or ``purchased``.
    """

    looks: Floats
    log_odds: Floats
    alike_before: npt.NDArray[np.bool_]
    leave_page: Floats
    leave_click: Floats
    without_pages: float
    giving_up: float
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
        catalog: Catalog,
        *,
        most_pages: int,
    ) -> ExpectedSessions:
        """From ``visits`` and the relative patience of each visit's shopper."""
        pages = [page for visit in visits for page in visit.pages]
        items = max((len(page.items) for page in pages), default=0)
        looks, log_odds = np.zeros((2, len(pages), items))
        alike = np.zeros((len(pages), items, items), dtype=np.bool_)
        for number, page in enumerate(pages):
            size = len(page.items)
            if page.chances is None:  # nothing was found: a page without a look
                continue
            looks[number, :size] = page.chances.looks
            log_odds[number, :size] = page.chances.log_odds
            shown = catalog.rows([item.item_id for item in page.items])["category"].to_pylist()
            names = np.array([name or "" for name in shown], dtype=object)
            alike[number, :size, :size] = names[:, None] == names[None, :]
        gave_up = sum(bool(visit.pages) and visit.ended_by == "no query" for visit in visits)
        stayed = gave_up + sum(max(len(visit.pages) - 1, 0) for visit in visits)
        return cls(
            looks,
            log_odds,
            alike & np.tri(items, k=-1, dtype=np.bool_),
            np.array([behaviour.leaving(value) for value in patience]),
            np.array([behaviour.leaving(value, clicked=True) for value in patience]),
            sum(not visit.pages for visit in visits) / max(1, len(visits)),
            gave_up / max(1, stayed),
            response,
            behaviour,
            most_pages,
        )

    def moments(self, shift: float, spread: float) -> Moments:
        """What sessions are expected to do with this shift of the intercept and spread."""
        if not self.looks.size:
            return Moments(0.0, 0.0, 0.0)
        chain = self._chain(shift + spread * _NODES)
        given = np.array([chain.total, 1.0 - chain.nothing, chain.squares]).mean(axis=1)
        return Moments(*((1.0 - self.without_pages) * given @ _WEIGHTS).tolist())

    def categories(self, shift: float, spread: float) -> float:
        """Mean number of different categories among the responses of a session.

        Different pages are taken to have different ones: a need that was met gives way to another.
        """
        if not self.looks.size:
            return 0.0
        chain = self._chain(shift + spread * _NODES)
        rest = np.log1p(-np.minimum(chain.responses, 1.0 - 1e-12))
        first = chain.responses * np.exp(np.einsum("npj,pij->npi", rest, self.alike_before))
        seen = (chain.pages.mean(axis=0) * first.sum(axis=2).mean(axis=1)) @ _WEIGHTS
        return float((1.0 - self.without_pages) * seen)

    def covariance(self, shift: float, spread: float, of_shopper: float) -> float:
        """Of the responses of two sessions of one shopper, whose patience is the same on both.

        ``of_shopper`` is the share of the spread's variance that is between shoppers.
        """
        if not self.looks.size:
            return 0.0
        grid = shift + spread * np.linspace(-_WIDEST_NODE, _WIDEST_NODE, 101)
        means = (1.0 - self.without_pages) * self._chain(grid).total
        deviates = np.sqrt(of_shopper) * _NODES[:, None] + np.sqrt(1.0 - of_shopper) * _NODES
        inclined = shift + spread * deviates
        # One row a visit tried out: shoppers of that patience, by their inclination.
        by_shopper = np.array([np.interp(inclined, grid, row) @ _WEIGHTS for row in means])
        square = (by_shopper**2 @ _WEIGHTS).mean()
        return float(square - (by_shopper @ _WEIGHTS).mean() ** 2)

    def leaving_after_purchase(self, rate: float) -> ExpectedSessions:
        """The same pages, with another chance of leaving after a purchase."""
        known = self.behaviour.leave_after_purchase.model_copy(update={"value": rate})
        behaviour = self.behaviour.model_copy(update={"leave_after_purchase": known})
        return replace(self, behaviour=behaviour)

    def _chain(self, inclination: Floats) -> _Chain:
        """What sessions of each inclination do, page after page until the shopper leaves."""
        behaviour = self.behaviour
        clicks = self.looks * sigmoid(self.log_odds + inclination[:, None, None])
        buys = behaviour.cart_after_click.value * behaviour.purchase_after_cart.value * clicks
        idle = np.prod(1.0 - clicks, axis=2).mean(axis=1)
        unsold = np.prod(1.0 - buys, axis=2).mean(axis=1)
        # From here on arrays have the shape (visits, n): patience differs by visit.
        going_on = 1.0 - self.giving_up
        silent_stay = going_on * np.outer(1.0 - self.leave_page, idle)
        click_stay = going_on * np.outer(1.0 - self.leave_click, unsold - idle)
        bought_stay = going_on * (1.0 - behaviour.leave_after_purchase.value)
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
        pages, total, squares = np.zeros((3, *staying.shape))
        nothing = np.ones_like(staying)
        for _ in range(self.most_pages):
            squares = square + 2.0 * mean * stay_after * total + staying * squares
            total = mean + staying * total
            pages = 1.0 + staying * pages
            nothing = (none - none_stay) + none_stay * nothing
        return _Chain(responses, pages, total, nothing, squares)
