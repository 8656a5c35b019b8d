"""Sessions tried out beforehand, so that responses a session are the log's.

The method is that of :mod:`footfall.simulator.pilot`, on pages that the crowd without a model saw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from footfall.simulator.arrivals import Arrivals
from footfall.simulator.behaviour import Rate, sigmoid
from footfall.simulator.expected_sessions import ExpectedSessions
from footfall.simulator.fast.block import ENDS, Block
from footfall.simulator.fast.plan import VisitPlan
from footfall.simulator.intent_fit import solve_intent, solve_of_shopper
from footfall.simulator.response_target import ResponseTarget
from footfall.simulator.targets.protocol import TargetClient

if TYPE_CHECKING:
    from footfall.simulator.fast.shop import FastShop

__all__ = ["average_levels", "expected_sessions", "try_out"]

Floats = npt.NDArray[np.float64]

#: Pages that the moments are computed on at most: enough for the moments, and soon done.
_MOST_PAGES: Final = 500
#: How often the shift is corrected by what sessions do with it.
_CORRECTIONS: Final = 2
#: Chances of a click after a look are looked for between these, and levels so far beyond log-odds.
_CHANCES: Final = (1e-4, 0.9)
_WIDE: Final = 20.0


def try_out(
    shop: FastShop,
    client: TargetClient,
    arrivals: Arrivals,
    target: ResponseTarget | None,
    *,
    sessions: int,
    seed: int,
) -> dict[str, Rate]:
    """Rates by the behaviour's names at which sessions respond as the log's do.

    Parameters
    ----------
    shop:
        One without shift and spread.
    client:
        What answers.
    arrivals, sessions, seed:
        Of the sessions that are tried out.
    target:
        What real sessions do; where it is ``None``, nothing is fitted.
    """
    if target is None:
        unknown = Rate(value=0.0, note="the log does not tell the responses of a session")
        return {"intercept_shift": unknown, "intent_spread": unknown}
    blocks = _blocks(shop, client, arrivals, sessions, seed)
    tried = expected_sessions(shop, blocks, target.response)
    fit = solve_intent(tried, target)
    words = "clicks" if target.response == "clicked" else "purchases"
    note = f"of {target.sessions:,} real sessions, on {sessions:,} sessions tried out"
    reached = tried.leaving_after_purchase(fit.leaving).moments(fit.shift, fit.spread)

    def rate(value: float, met: str) -> Rate:
        return Rate(value=value, source="fitted", note=f"{met} {note}")

    rates = {
        "intercept_shift": rate(
            fit.shift, f"{reached.mean:.3g} for {target.per_session:.3g} {words} a session"
        ),
        "intent_spread": rate(
            fit.spread,
            f"{reached.responding:.3g} for {target.responding or 0.0:.3g} sessions with {words}",
        ),
    }
    if fit.fits_leaving:
        rates["leave_after_purchase"] = rate(fit.leaving, "nearest to how responses vary")
    if target.covariance is not None:
        share = solve_of_shopper(tried, fit, target.covariance)
        rates["intent_of_shopper"] = rate(share, "by how the sessions of one shopper go together")
    behaviour = shop.behaviour.model_copy(update=rates)
    rates["intercept_shift"] = _corrected(
        shop.with_behaviour(behaviour),
        client,
        arrivals,
        target,
        rates["intercept_shift"],
        sessions=sessions,
        seed=seed,
    )
    return rates


def average_levels(
    shop: FastShop,
    client: TargetClient,
    arrivals: Arrivals,
    target: ResponseTarget | None,
    *,
    sessions: int,
    seed: int,
) -> dict[str, float]:
    """Levels of :class:`~.click_odds.Reference`; parameters as in :func:`try_out`.

    Both kinds of page are given the same chance of a click on what is looked at: no log tells which
    of the two is clicked more in front of another search engine and recommender. The chance is the
    one that makes the target's responses a session, or the intercept's where there is no target.
    """
    levels = {}
    for name, share in (("browsing_level", 1.0), ("typed_level", 0.0)):
        looks, log_odds = _looked_at(
            shop, _blocks(shop, client, arrivals, sessions, seed, browse_share=share)
        )
        if not looks.sum():
            continue
        chance = float(sigmoid(np.array(shop.behaviour.intercept.value)))
        if target is not None:
            clicks = target.per_session * sessions / _conversion(shop, target)
            chance = float(np.clip(clicks / looks.sum(), *_CHANCES))
        levels[name] = _level(looks, log_odds, chance)
    return levels


def _level(looks: Floats, log_odds: Floats, chance: float) -> float:
    """What to take from the log-odds so that looks are followed by a click by this chance."""

    def excess(level: float) -> float:
        return float(looks @ sigmoid(log_odds - level) / looks.sum()) - chance

    return float(brentq(excess, log_odds.min() - _WIDE, log_odds.max() + _WIDE))


def _looked_at(shop: FastShop, blocks: list[Block]) -> tuple[Floats, Floats]:
    """Chance of a look and log-odds of a click of all items shown."""
    curve = shop.behaviour.looks(shop.page_size)
    shown = [each for block in blocks for each in block.shown]
    looks = [np.zeros(0), *(curve[each.position - 1] for each in shown)]
    log_odds = [np.zeros(0), *(each.log_odds for each in shown)]
    return np.concatenate(looks), np.concatenate(log_odds)


def _conversion(shop: FastShop, target: ResponseTarget) -> float:
    """Responses a click."""
    behaviour = shop.behaviour
    if target.response == "clicked":
        return 1.0
    return behaviour.cart_after_click.value * behaviour.purchase_after_cart.value


def _blocks(
    shop: FastShop,
    client: TargetClient,
    arrivals: Arrivals,
    sessions: int,
    seed: int,
    *,
    browse_share: float | None = None,
) -> list[Block]:
    from footfall.simulator.fast.crowd import FastCrowd

    plan = VisitPlan.draw(shop.personas, arrivals, sessions=sessions, days=7, seed=seed)
    crowd = FastCrowd(shop, client, seed=seed, browse_share=browse_share, ideal=False)
    return crowd.blocks(plan)


def _corrected(
    shop: FastShop,
    client: TargetClient,
    arrivals: Arrivals,
    target: ResponseTarget,
    shift: Rate,
    *,
    sessions: int,
    seed: int,
) -> Rate:
    """The shift at which sessions respond as often when they are tried out again.

    The formulas take the pages of a visit as drawn apart. In truth a search goes on about the same
    thing, and nobody takes an item twice, so sessions come to a little less.
    """
    for _ in range(_CORRECTIONS):
        behaviour = shop.behaviour.model_copy(update={"intercept_shift": shift})
        blocks = _blocks(shop.with_behaviour(behaviour), client, arrivals, sessions, seed)
        shown = [each for block in blocks for each in block.shown]
        responses = [
            each.clicked if target.response == "clicked" else each.purchased for each in shown
        ]
        found = sum(int(each.sum()) for each in responses) / sessions
        step = np.log(target.per_session / max(found, 1.0 / sessions))
        value = shift.value + float(np.clip(step, -1.0, 1.0))
        shift = shift.model_copy(update={"value": value})
    return shift


def expected_sessions(shop: FastShop, blocks: list[Block], response: str) -> ExpectedSessions:
    """Expected sessions on the pages of ``blocks``, without shift, spread and intent.

    Of many pages, some evenly spread ones are taken.
    """
    looks, log_odds, category = _grids(shop, blocks)
    shown = looks > 0
    alike = category[:, :, None] == category[:, None, :]
    alike &= shown[:, :, None] & shown[:, None, :]
    patience = np.concatenate([shop.population.patience[block.plan.shopper] for block in blocks])
    leaving = [
        np.clip(rate.value / (patience / shop.mean_patience), 0.02, 1.0)
        for rate in (shop.behaviour.leave_after_page, shop.behaviour.leave_after_click)
    ]
    ended = np.concatenate([block.ended for block in blocks])
    steps = np.concatenate([block.steps for block in blocks])
    silent = ended == ENDS.index("no query")
    gave_up = int((silent & (steps > 0)).sum())
    stayed = gave_up + int(np.maximum(steps - 1, 0).sum())
    return ExpectedSessions(
        looks=looks,
        log_odds=log_odds,
        alike_before=alike & np.tri(shop.page_size, k=-1, dtype=np.bool_),
        leave_page=leaving[0],
        leave_click=leaving[1],
        without_pages=float((steps == 0).mean()),
        giving_up=gave_up / max(1, stayed),
        response=response,
        behaviour=shop.behaviour,
        most_pages=shop.most_pages,
    )


def _grids(shop: FastShop, blocks: list[Block]) -> list[Floats]:
    """Looks, log-odds and categories of pages, 0 where they end, shape (pages, page size) each."""
    size = shop.page_size
    curve = shop.behaviour.looks(size)
    grids = [np.zeros((3, 0, size))]
    for block in blocks:
        for pages, shown in zip(block.pages, block.shown, strict=True):
            grid = np.zeros((3, len(pages.visit), size))
            place = shown.page, shown.position - 1
            for layer, values in zip(
                grid,
                (curve[place[1]], shown.log_odds, shop.items.categories.path[shown.item]),
                strict=True,
            ):
                layer[place] = values
            grids.append(grid)
    told = np.concatenate(grids, axis=1)
    if told.shape[1] > _MOST_PAGES:
        told = told[:, np.linspace(0, told.shape[1] - 1, _MOST_PAGES).astype(np.int64)]
    return [*told]
