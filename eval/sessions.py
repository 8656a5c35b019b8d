"""Whole sessions out of the log, for people to read."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from footfall.errors import EmptyLogError

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["SessionStory", "ShownRow", "SlateStory", "collect_sessions"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ShownRow(_Record):
    """One item of a page and what the shopper did with it."""

    position: int | None
    item_id: str
    text: str
    category: str = ""
    brand: str = ""
    price: float | None = None
    clicked: bool | None = None
    carted: bool | None = None
    purchased: bool | None = None


class SlateStory(_Record):
    """One page of results or recommendations."""

    step: int
    page: int
    query: str | None = Field(description="Null when browsing.")
    answered_by: str = ""
    rows: list[ShownRow]


class SessionStory(_Record):
    """One session from the first page to its ending."""

    session_id: str
    user_id: str
    locale: str = ""
    persona: dict[str, str] = Field(
        default_factory=dict, description="Demographics, main interests and habits in words."
    )
    started_at: datetime | None = None
    ended_by: str = ""
    slates: list[SlateStory]


def collect_sessions(log: Log, run_id: str, count: int = 4, seed: int = 0) -> list[SessionStory]:
    """Draw whole sessions of a run, taking turns between the ways in which sessions ended.

    Sessions with at least one page come first. The same log, run and seed give the same sessions.

    Parameters
    ----------
    log:
        The open log.
    run_id:
        Origin of the sessions; ``real`` reads real ones.
    count:
        How many sessions; fewer where the run has fewer.
    seed:
        Seed of the draw.

    Raises
    ------
    EmptyLogError
        If the run has no sessions.
    """
    sessions = log.query(
        """
        WITH candidates AS (
            SELECT s.*, s.session_id IN (SELECT session_id FROM searches) AS has_page,
                md5(s.session_id || $seed::VARCHAR) AS lot
            FROM sessions s WHERE s.origin = $run),
        turns AS (
            SELECT *, row_number() OVER (PARTITION BY has_page, ended_by ORDER BY lot) AS turn
            FROM candidates)
        SELECT t.session_id, t.user_id, t.started_at, t.ended_by, u.locale, u.persona,
            u.demographics
        FROM turns t LEFT JOIN users u USING (user_id)
        ORDER BY NOT has_page, turn, lot LIMIT $count
        """,
        {"run": run_id, "seed": seed, "count": count},
    )
    if not sessions.num_rows:
        raise EmptyLogError(
            f"The log has no sessions of {run_id!r}.", hint="Name another run, or simulate first."
        )
    shown = log.query(
        """
        SELECT q.session_id, q.search_id, q.step, q.page, q.query, q.answered_by, i.position,
            i.item_id, coalesce(items.text, i.item_id) AS text, items.category, items.brand,
            coalesce(i.price, items.price) AS price, i.clicked, i.carted, i.purchased
        FROM searches q JOIN chosen USING (session_id)
            LEFT JOIN impressions i USING (search_id) LEFT JOIN items USING (item_id)
        ORDER BY q.session_id, q.step, q.page, q.search_id, i.position NULLS LAST, i.item_id
        """,
        chosen=sessions.select(["session_id"]),
    ).to_pylist()
    pages: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in shown:
        pages.setdefault(row["session_id"], {}).setdefault(row["search_id"], []).append(row)
    return [_story(row, pages.get(row["session_id"], {})) for row in sessions.to_pylist()]


def _story(session: dict[str, Any], pages: dict[str, list[dict[str, Any]]]) -> SessionStory:
    return SessionStory(
        session_id=session["session_id"],
        user_id=session["user_id"],
        locale=session["locale"] or "",
        persona=_persona(session["persona"], session["demographics"]),
        started_at=session["started_at"],
        ended_by=session["ended_by"] or "",
        slates=[_slate(rows) for rows in pages.values()],
    )


def _slate(rows: list[dict[str, Any]]) -> SlateStory:
    first = rows[0]
    return SlateStory(
        step=first["step"],
        page=first["page"],
        query=first["query"],
        answered_by=first["answered_by"] or "",
        rows=[_shown(row) for row in rows if row["item_id"] is not None],
    )


def _shown(row: dict[str, Any]) -> ShownRow:
    return ShownRow(
        position=row["position"],
        item_id=row["item_id"],
        text=row["text"],
        category=row["category"] or "",
        brand=row["brand"] or "",
        price=row["price"],
        clicked=row["clicked"],
        carted=row["carted"],
        purchased=row["purchased"],
    )


def _persona(persona: str | None, demographics: str | None) -> dict[str, str]:
    """A persona's record as short facts; damaged JSON gives no facts rather than an error."""
    try:
        record = json.loads(persona) if persona else {}
        people = record.get("demographics") or (json.loads(demographics) if demographics else {})
    except (json.JSONDecodeError, AttributeError):
        return {}
    facts = {str(name): str(value) for name, value in people.items() if value}
    interests: dict[str, float] = record.get("interests") or {}
    if interests:
        largest = sorted(interests, key=lambda name: (-interests[name], name))[:3]
        facts["likes"] = ", ".join(name.rsplit(" > ", 1)[-1] for name in largest)
    history = record.get("history") or []
    if history:
        facts["bought or clicked before"] = ", ".join(str(text) for text in history[-3:])
    for name, words in (("price_sensitivity", "price sensitivity"), ("patience", "patience")):
        if name in record:
            facts[words] = f"{record[name]:.2g}"
    return facts
