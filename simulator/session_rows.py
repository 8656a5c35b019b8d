"""A finished visit as rows of the log, with keys that are the same whenever it is run again."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from footfall.simulator.schema import ARROW_SCHEMAS
from footfall.simulator.shopper import Page, ShownItem, Visit
from footfall.simulator.writer import SessionRows

__all__ = ["session_key", "session_number", "visit_rows"]


def session_key(run_id: str, number: int) -> str:
    """Identifier of the ``number``-th session of a run."""
    return f"{run_id}/{number:06d}"


def session_number(key: str) -> int:
    """The number that :func:`session_key` made ``key`` of."""
    return int(key.rpartition("/")[2])


def visit_rows(visit: Visit, *, session_id: str, user_id: str, origin: str) -> SessionRows:
    """Rows for sessions, searches and impressions; a session is committed with all of them."""
    session = {
        "session_id": session_id,
        "user_id": user_id,
        "started_at": visit.started_at,
        "ended_at": visit.ended_at,
        "ended_by": visit.ended_by,
        "origin": origin,
    }
    searches, impressions = [], []
    for page in visit.pages:
        search_id = f"{session_id}/{page.step:02d}"
        searches.append(_search(page, search_id, session_id, origin))
        impressions += [_impression(item, search_id, origin) for item in page.items]
    return SessionRows(
        {
            "sessions": _table("sessions", [session]),
            "searches": _table("searches", searches),
            "impressions": _table("impressions", impressions),
        }
    )


def _search(page: Page, search_id: str, session_id: str, origin: str) -> dict[str, Any]:
    return {
        "search_id": search_id,
        "session_id": session_id,
        "step": page.step,
        "query": page.query,
        "answered_by": page.answered_by,
        "page": page.page,
        "candidates": "simulated",
        "searched_at": page.searched_at,
        "origin": origin,
    }


def _impression(item: ShownItem, search_id: str, origin: str) -> dict[str, Any]:
    return {
        "search_id": search_id,
        "position": item.position,
        "item_id": item.item_id,
        "price": item.price,
        "clicked": item.clicked_at is not None,
        "carted": item.carted,
        "purchased": item.purchased_at is not None,
        "shown_at": item.shown_at,
        "clicked_at": item.clicked_at,
        "purchased_at": item.purchased_at,
        "score": item.score,
        "sample_rate": 1.0,
        "origin": origin,
    }


def _table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=ARROW_SCHEMAS[name])
