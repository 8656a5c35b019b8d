"""A generator's table as rows of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from footfall.simulator.catalog import Catalog
from footfall.simulator.schema import ARROW_SCHEMAS
from footfall.simulator.session_rows import session_key
from footfall.simulator.writer import SessionRows

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["log_rows"]

#: Seconds of looking at an item and of asking for a page: assumed, as for simulated shoppers.
_SECONDS_PER_ITEM: Final = 4
_SECONDS_PER_PAGE: Final = 12


def log_rows(
    block: pa.Table,
    *,
    run_id: str,
    generator: str,
    users: Sequence[str],
    starts: np.ndarray[Any, np.dtype[np.datetime64]],
    catalog: Catalog,
) -> SessionRows:
    """Sessions, searches and impressions of a block, with keys that are the same on every run.

    Parameters
    ----------
    block:
        In the columns of :data:`~footfall.simulator.generators.protocol.GENERATED_SCHEMA`.
    users, starts:
        Of every session in order: the shopper's user id and the start (not a time: unknown).
    catalog:
        Gives the price where the generator gives none.
    """
    number = block["session"].to_numpy()
    step = block["step"].to_numpy().astype(np.int64)
    sessions, session = np.unique(number, return_inverse=True)
    opens = np.append(True, (session[1:] != session[:-1]) | (step[1:] != step[:-1]))[: len(step)]
    page = np.cumsum(opens) - 1
    shown = block["item_id"].is_valid().to_numpy()
    looks = np.bincount(page, shown, minlength=page[-1] + 1).astype(np.int64)
    lasts = _SECONDS_PER_PAGE + _SECONDS_PER_ITEM * looks
    owner = session[opens]
    before = np.cumsum(lasts) - lasts
    first = np.searchsorted(owner, np.arange(len(sessions)))
    searched = starts[owner] + (before - before[first][owner]).astype("timedelta64[s]")
    spent = np.bincount(owner, lasts, minlength=len(sessions)).astype("timedelta64[s]")
    keys = pa.array([session_key(run_id, int(each)) for each in sessions], pa.string())
    search_id = pc.binary_join_element_wise(
        keys.take(pa.array(owner)),
        pc.utf8_lpad(pa.array(step[opens]).cast(pa.string()), 2, "0"),
        "/",
    )
    pages = block.filter(pa.array(opens))
    rows = block.filter(pa.array(shown))
    return SessionRows(
        {
            "sessions": _table(
                "sessions",
                run_id,
                session_id=keys,
                user_id=pa.array(list(users), pa.string()),
                started_at=_times(starts),
                ended_at=_times(starts + spent),
            ),
            "searches": _table(
                "searches",
                run_id,
                search_id=search_id,
                session_id=keys.take(pa.array(owner)),
                step=pages["step"],
                query=pages["query"],
                answered_by=pa.repeat(generator, len(pages)),
                page=pages["page"],
                candidates=pa.repeat("simulated", len(pages)),
                searched_at=_times(searched),
            ),
            "impressions": _table(
                "impressions",
                run_id,
                search_id=search_id.take(pa.array(page[shown])),
                position=rows["position"],
                item_id=rows["item_id"],
                price=pc.coalesce(
                    rows["price"], catalog.rows(rows["item_id"].to_pylist())["price"]
                ),
                clicked=rows["clicked"],
                carted=rows["carted"],
                purchased=rows["purchased"],
                shown_at=_times(searched[page[shown]]),
                sample_rate=rows["sample_rate"].fill_null(1.0),
            ),
        }
    )


def _times(moments: np.ndarray[Any, np.dtype[np.datetime64]]) -> pa.Array:
    return pa.array(moments.astype("datetime64[us]"), pa.timestamp("us"))


def _table(name: str, run_id: str, **columns: Any) -> pa.Table:
    count = len(next(iter(columns.values())))
    return pa.table(
        [
            columns.get(field.name, pa.nulls(count, field.type)).cast(field.type)
            if field.name != "origin"
            else pa.repeat(run_id, count)
            for field in ARROW_SCHEMAS[name]
        ],
        schema=ARROW_SCHEMAS[name],
    )
