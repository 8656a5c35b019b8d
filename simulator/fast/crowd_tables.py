"""Blocks of visits as the tables of a crowd's events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from footfall.simulator.behaviour import sigmoid
from footfall.simulator.crowd_events import (
    IMPRESSION_SCHEMA,
    PAGE_SCHEMA,
    VISIT_SCHEMA,
    CrowdEvents,
)
from footfall.simulator.fast.block import ENDS, FAILURES, Block
from footfall.simulator.fast.plan import ROLES, SHOPPER

if TYPE_CHECKING:
    from footfall.simulator.fast.shop import FastShop

__all__ = ["attacker_id", "block_events"]

Ints = npt.NDArray[np.int64]


def attacker_id(persona_id: str) -> str:
    """What an attacker who pretends to be this persona calls themselves: not a known shopper."""
    return f"attacker/{persona_id}"


def block_events(block: Block, shop: FastShop, answered_by: str) -> CrowdEvents:
    """Tables of a block, its visits in time order and the pages of each in theirs."""
    session = _padded(block.plan.number, 8)
    visits = _visits(block, shop, session)
    if not block.pages:
        return CrowdEvents(visits, PAGE_SCHEMA.empty_table(), IMPRESSION_SCHEMA.empty_table())
    visit = np.concatenate([each.visit for each in block.pages])
    step = np.concatenate([each.step for each in block.pages])
    order = np.lexsort((step, visit))
    search = pc.binary_join_element_wise(session.take(pa.array(visit)), _padded(step, 2), "/")
    pages = _pages(block, shop, answered_by, search, session).take(pa.array(order))
    return CrowdEvents(visits, pages, _impressions(block, shop, search, order))


def _visits(block: Block, shop: FastShop, session: pa.Array) -> pa.Table:
    plan = block.plan
    ids = [persona.persona_id for persona in shop.personas]
    shoppers = plan.shopper.tolist()
    honest = (plan.role == SHOPPER).tolist()
    return _table(
        VISIT_SCHEMA,
        session_id=session,
        shopper_id=[
            ids[shopper] if real else attacker_id(ids[shopper])
            for shopper, real in zip(shoppers, honest, strict=True)
        ],
        day=plan.day,
        started_at=plan.started_at,
        ended_at=block.moments,
        ended_by=_named(ENDS, block.ended),
        role=_named(ROLES, plan.role),
    )


def _pages(
    block: Block, shop: FastShop, answered_by: str, search: pa.Array, session: pa.Array
) -> pa.Table:
    def joined(name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(each, name) for each in block.pages])

    visit = joined("visit")
    return _table(
        PAGE_SCHEMA,
        search_id=search,
        session_id=session.take(pa.array(visit)),
        step=joined("step"),
        page=joined("page"),
        query=[query for each in block.pages for query in each.query],
        answered_by=pa.repeat(answered_by, len(visit)),
        searched_at=block.moments_after(visit, joined("seconds_in")),
        limit=pa.repeat(shop.page_size, len(visit)),
        needed=shop.item_ids.take(pa.array(joined("needed"))),
        failure=_named(FAILURES, joined("failure")),
        seconds=joined("waited"),
        ideal_gain=pa.array(joined("ideal"), from_pandas=True),
    )


def _impressions(block: Block, shop: FastShop, search: pa.Array, order: Ints) -> pa.Table:
    before = np.cumsum([0, *(len(each.visit) for each in block.pages)])
    page = np.concatenate(
        [each.page + first for each, first in zip(block.shown, before[:-1], strict=True)]
    )
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    sorting = np.argsort(rank[page], kind="stable")

    def joined(name: str) -> npt.NDArray[Any]:
        values: npt.NDArray[Any] = np.concatenate([getattr(each, name) for each in block.shown])
        return values[sorting]

    item = joined("item")
    return _table(
        IMPRESSION_SCHEMA,
        search_id=search.take(pa.array(page[sorting])),
        position=joined("position"),
        item_id=shop.item_ids.take(pa.array(item)),
        price=pa.array(shop.items.prices[item], from_pandas=True),
        looked=joined("looked"),
        clicked=joined("clicked"),
        carted=joined("carted"),
        purchased=joined("purchased"),
        gain=sigmoid(joined("log_odds")),
    )


def _table(schema: pa.Schema, **columns: Any) -> pa.Table:
    arrays = []
    for field in schema:
        values = columns[field.name]
        array = values if isinstance(values, pa.Array) else pa.array(values)
        arrays.append(array.cast(field.type))
    return pa.table(arrays, schema=schema)


def _named(names: tuple[str | None, ...], places: npt.NDArray[Any]) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(places))


def _padded(numbers: Ints, width: int) -> pa.Array:
    return pc.utf8_lpad(pa.array(numbers).cast(pa.string()), width, "0")
