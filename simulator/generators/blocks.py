"""From drawn pages and items to the table that a generator gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from footfall.simulator.catalog import Catalog
from footfall.simulator.generators.protocol import GENERATED_SCHEMA

__all__ = ["SESSIONS_AT_ONCE", "DrawnPages", "DrawnRows", "block_table", "drawn_once", "ranked"]

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

#: Sessions of one table: memory stays flat, whatever is asked for.
SESSIONS_AT_ONCE: Final = 1000
#: How often an item that its page shows already is drawn anew before it is left out.
_ROUNDS: Final = 6


@dataclass(frozen=True, slots=True)
class DrawnPages:
    """Pages of whole sessions in order, all of shape ``(pages,)``.

    ``query`` is a place in the queries or -1; ``page`` the place in the list of results, from 1;
    ``hour`` that of the session's start, or -1.
    """

    session: Integers
    step: Integers
    page: Integers
    query: Integers
    hour: Integers


@dataclass(frozen=True, slots=True)
class DrawnRows:
    """Items shown, all of shape ``(rows,)``, by page and place on it.

    ``page`` is a place in the drawn pages, ``item`` in the catalogue, ``response`` in the
    responses, ``position`` counts from 1 (0 without order).
    """

    page: Integers
    item: Integers
    response: Integers
    position: Integers


def drawn_once(
    page: Integers, last: Integers, draw: Callable[[Integers], Integers]
) -> tuple[Integers, Integers]:
    """Items for rows, none twice on a page: which rows are kept, and their items.

    Parameters
    ----------
    page:
        Page of each row, shape ``(rows,)``.
    last:
        Of two rows of a page with one item, that with the larger number is drawn anew.
    draw:
        Items for the rows of these numbers.
    """
    item = np.full(len(page), -1, dtype=np.int64)
    lacking = np.arange(len(page))
    for _ in range(_ROUNDS):
        item[lacking] = draw(lacking)
        order = np.lexsort((last, item, page))
        again = (page[order][1:] == page[order][:-1]) & (item[order][1:] == item[order][:-1])
        lacking = np.sort(order[1:][again])
        if not len(lacking):
            break
    kept = np.setdiff1d(np.arange(len(page)), lacking)
    return kept, item[kept]


def ranked(page: Integers, wanted: Floats) -> Integers:
    """Positions from 1 within each page, in the order of ``wanted``, shape ``(rows,)``."""
    order = np.lexsort((wanted, page))
    begins = np.searchsorted(page[order], page[order])
    position = np.empty(len(page), dtype=np.int64)
    position[order] = np.arange(len(page)) - begins + 1
    return position


def block_table(
    pages: DrawnPages,
    rows: DrawnRows,
    *,
    catalog: Catalog,
    queries: Sequence[str],
    responses: Sequence[tuple[bool | None, bool | None, bool | None]],
    kept_shares: Floats,
) -> pa.Table:
    """The table of :data:`~footfall.simulator.generators.protocol.GENERATED_SCHEMA`."""
    empty = np.setdiff1d(np.arange(len(pages.session)), rows.page)
    # A page that shows nothing is one row without an item.
    nothing = np.full(len(empty), -1)
    page, item, response, position = (
        np.append(found, fill)
        for found, fill in (
            (rows.page, empty),
            (rows.item, nothing),
            (rows.response, nothing),
            (rows.position, nothing),
        )
    )
    order = np.lexsort((position, page))
    page, item, response, position = page[order], item[order], response[order], position[order]
    unknown = response < 0
    chosen = pa.array(response, mask=unknown)
    query = pages.query[page]
    flags = [pa.array([each[n] for each in responses], pa.bool_()) for n in range(3)]
    columns: dict[str, pa.Array] = {
        "session": pa.array(pages.session[page]),
        "step": pa.array(pages.step[page]),
        "page": pa.array(pages.page[page]),
        "query": pa.array(list(queries), pa.string()).take(pa.array(query, mask=query < 0)),
        "position": pa.array(position, mask=position < 1),
        "item_id": catalog.table["item_id"].combine_chunks().take(pa.array(item, mask=item < 0)),
        "clicked": flags[0].take(chosen),
        "carted": flags[1].take(chosen),
        "purchased": flags[2].take(chosen),
        "price": pa.nulls(len(page)),
        "sample_rate": pa.array(kept_shares[response], mask=unknown),
        "hour": pa.array(pages.hour[page], mask=pages.hour[page] < 0),
    }
    return pa.table(
        [columns[field.name].cast(field.type) for field in GENERATED_SCHEMA],
        schema=GENERATED_SCHEMA,
    )
