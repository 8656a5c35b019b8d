"""Looks, clicks, carts and purchases of items shown, by chances that belong to visit and item."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from footfall.simulator.behaviour import sigmoid
from footfall.simulator.fast.block import Block
from footfall.simulator.fast.draws import uniforms
from footfall.simulator.fast.plan import CLICK_FRAUD, SHILLING, SHOPPER

if TYPE_CHECKING:
    from footfall.simulator.fast.shop import FastShop

__all__ = ["Chances", "Responses", "draw_responses"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: Streams of random numbers.
_LOOK, _CLICK, _CART, _BUY, _CAMOUFLAGE = range(30, 35)
#: Share of the popular items shown that shilling accounts take, to look like others.
_CAMOUFLAGED: Final = 0.5


class Chances(NamedTuple):
    """Of every item shown: chance of a look, and log-odds of a click after it."""

    looks: Floats
    log_odds: Floats


class Responses(NamedTuple):
    """What was done with every item shown."""

    looked: Flags
    clicked: Flags
    carted: Flags
    purchased: Flags


def draw_responses(
    seed: int,
    shop: FastShop,
    block: Block,
    visit: Ints,
    item: Ints,
    chances: Chances,
    attacked: Ints,
) -> Responses:
    """Responses to items shown, all arrays of shape (items shown,).

    Who sees an item again while they look for the same thing does the same again, but what was
    clicked for it is not clicked twice. Unavailable items are never carted.
    """
    behaviour = shop.behaviour
    number, needs = block.plan.number[visit], block.needs[visit]
    keys = (number, needs, shop.items.keys[item])
    looked = uniforms(seed, _LOOK, *keys) < chances.looks
    clicked = looked & (uniforms(seed, _CLICK, *keys) < sigmoid(chances.log_odds))
    role = block.plan.role[visit]
    pushes = role != SHOPPER
    if pushes.any():
        pushed = np.isin(item, attacked)
        shills = role == SHILLING
        camouflage = shop.popular[item] & (uniforms(seed, _CAMOUFLAGE, *keys) < _CAMOUFLAGED)
        looked |= pushes
        clicked = np.where(pushes, pushed | (shills & camouflage), clicked)
    about = _keys(block, visit, item, len(shop.items))
    clicked &= ~np.isin(about, block.clicked)
    block.clicked = np.concatenate([block.clicked, about[clicked]])
    buys = clicked & shop.available[item] & (role != CLICK_FRAUD)
    certain = role == SHILLING
    carted = buys & ((uniforms(seed, _CART, *keys) < behaviour.cart_after_click.value) | certain)
    purchased = carted & (
        (uniforms(seed, _BUY, *keys) < behaviour.purchase_after_cart.value) | certain
    )
    return Responses(looked, clicked, carted, purchased)


def _keys(block: Block, visit: Ints, item: Ints, items: int) -> Ints:
    """What each click is about: visit, need and item in one number."""
    most = block.needed_before.shape[1]
    return np.asarray((visit * most + block.needs[visit]) * items + item, dtype=np.int64)
