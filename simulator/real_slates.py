"""Real slates to fit the click curve on, with what was known of shopper and items before them.

Shoppers and items are described by the log before the fitted weeks, so that no response is among
its own causes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from footfall.personas.fit import describe_users
from footfall.personas.persona import Persona
from footfall.simulator.affinity import affinities
from footfall.simulator.behaviour import centred, popularity_deviation, price_deviation
from footfall.simulator.catalog import Catalog, utc_moment
from footfall.simulator.fit_clicks import FitData, row_weights
from footfall.simulator.histories import read_demographics, read_histories
from footfall.simulator.log import Log
from footfall.simulator.scoring import SlateScores

__all__ = ["RealSlate", "fit_data", "fitted_response", "read_slates", "real_slates"]


#: Before every event: what is known then is what the items themselves say.
_LONG_AGO = datetime(1, 1, 1)


@dataclass(frozen=True, slots=True)
class RealSlate:
    """One slate as it was shown; all sequences have the items in one order.

    ``rows`` are the catalogue's, with ``popularity`` and ``price`` as known before the fitted
    weeks (where nothing lies before them, no popularity and the items' own prices).
    """

    persona: Persona
    query: str | None
    item_ids: tuple[str, ...]
    rows: list[dict[str, Any]]
    positions: tuple[float, ...]
    responses: tuple[bool, ...]
    sample_rates: tuple[float, ...]

    @property
    def texts(self) -> list[str]:
        """What a shopper reads about each item."""
        return [row["text"] for row in self.rows]


def fitted_response(log: Log, until: datetime | None = None) -> str:
    """The response that slates are read with: ``clicked`` where the log has clicks by then."""
    clicks = log.scalar(
        "SELECT count(*) FILTER (clicked) > 0 FROM impressions WHERE origin = 'real' "
        "AND ($until::TIMESTAMP IS NULL OR shown_at < $until::TIMESTAMP)",
        {"until": utc_moment(until)},
    )
    return "clicked" if clicks else "purchased"


def read_slates(
    log: Log,
    *,
    count: int,
    since: datetime | None = None,
    until: datetime | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Up to ``count`` real slates from ``since`` to ``until``, chosen by a seeded hash of their id.

    Each has ``user_id``, ``query`` and, as lists in one order, ``item_ids``, ``positions``,
    ``responses`` (clicked where the log has clicks, purchased otherwise) and ``sample_rates``.
    """
    slates: list[dict[str, Any]] = log.query(
        f"""
        WITH chosen AS (
            SELECT search_id, session_id, query FROM searches
            WHERE origin = 'real' AND ($until IS NULL OR searched_at < $until)
              AND ($since IS NULL OR searched_at >= $since)
            ORDER BY md5(search_id || $seed), search_id LIMIT $count
        )
        SELECT user_id, query, list(item_id ORDER BY item_id) AS item_ids,
               list(position ORDER BY item_id) AS positions,
               list(response ORDER BY item_id) AS responses,
               list(sample_rate ORDER BY item_id) AS sample_rates
        FROM (
            SELECT chosen.search_id, sessions.user_id, chosen.query, item_id, position,
                   sample_rate, {fitted_response(log, until)} AS response
            FROM chosen JOIN sessions USING (session_id) JOIN impressions USING (search_id)
        )
        WHERE response IS NOT NULL
        GROUP BY search_id, user_id, query ORDER BY md5(search_id || $seed), search_id
        """,
        {
            "since": utc_moment(since),
            "until": utc_moment(until),
            "seed": str(seed),
            "count": count,
        },
    ).to_pylist()
    return slates


def real_slates(
    log: Log,
    catalog: Catalog,
    *,
    count: int,
    until: datetime | None = None,
    weeks: float = 8.0,
    locale: str = "en_US",
    seed: int = 0,
) -> list[RealSlate]:
    """Slates of the last ``weeks`` before ``until``, their shoppers described by what lies before.

    Where nothing lies before those weeks, the later half of the log's searches is taken. Without
    ``until``, or where nothing lies before either, slates of the whole log are taken: shoppers are
    then known by their demographics only, and popularity by nothing.

    Parameters
    ----------
    catalog:
        What the shop sells: texts and categories are its own.
    locale:
        Of every shopper.
    """
    since = None if until is None else until - timedelta(weeks=weeks)
    histories = read_histories(log, until=since)
    if until is not None and not histories.num_rows:
        since = _middle(log, until)
        histories = read_histories(log, until=since)
    chosen = read_slates(log, count=count, since=since, until=until, seed=seed)
    known = since is not None and histories.num_rows > 0 and bool(chosen)
    if not known:
        histories = histories.slice(0, 0)
        chosen = read_slates(log, count=count, until=until, seed=seed)
    shown = {item_id for slate in chosen for item_id in slate["item_ids"]}
    before = _known_before(log, since if known else _LONG_AGO, shown)
    people = _describe(histories, read_demographics(log), chosen, locale)
    return [_slate(slate, catalog, before, people, locale) for slate in chosen]


def fit_data(
    slates: list[RealSlate],
    scores: dict[int, SlateScores],
    *,
    appeal: list[np.ndarray[Any, np.dtype[np.float64]]] | None = None,
    page_size: int = 10,
) -> FitData:
    """Rows to fit the click curve on.

    Parameters
    ----------
    scores:
        The engine's, by index of the slate; slates without have average preference.
    appeal:
        Of each slate, the log-odds of a model that has not seen the slate, shape (slate,) each.
    page_size:
        Items on a simulated page.
    """
    nothing = [np.zeros(0)]
    sizes = [len(slate.rows) for slate in slates]
    index = np.repeat(np.arange(len(slates)), sizes)
    response = _joined([slate.responses for slate in slates])
    rates = _joined([slate.sample_rates for slate in slates])
    missing = SlateScores(np.zeros(0), float("nan"), 0)
    preference = [
        centred(scores[i].log_odds) if i in scores else np.zeros(size)
        for i, size in enumerate(sizes)
    ]
    return FitData(
        response=response,
        position=_joined([slate.positions for slate in slates]),
        preference=np.concatenate(preference or nothing),
        affinity=np.concatenate([centred(_affinity(slate)) for slate in slates] or nothing),
        popularity=np.concatenate(
            [
                popularity_deviation(np.asarray([row["popularity"] for row in slate.rows]))
                for slate in slates
            ]
            or nothing
        ),
        price=np.concatenate(
            [price_deviation([row["price"] for row in slate.rows]) for slate in slates] or nothing
        ),
        appeal=None if appeal is None else np.concatenate(appeal or nothing),
        attraction=np.repeat([scores.get(i, missing).attraction for i in range(len(sizes))], sizes),
        slate=index,
        weight=row_weights(response, rates, index, page_size=page_size),
    )


def _middle(log: Log, until: datetime) -> datetime | None:
    """Time of the middle one of the real searches before ``until``."""
    middle: datetime | None = log.scalar(
        "SELECT quantile_disc(searched_at, 0.5) FROM searches "
        "WHERE origin = 'real' AND searched_at < $until",
        {"until": utc_moment(until)},
    )
    return middle


def _joined(parts: list[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray([value for part in parts for value in part], dtype=np.float64)


def _affinity(slate: RealSlate) -> np.ndarray[Any, np.dtype[np.float64]]:
    categories = [row.get("category") for row in slate.rows]
    return affinities(slate.persona, categories, [row["price"] for row in slate.rows])


def _known_before(
    log: Log, since: datetime | None, item_ids: set[str]
) -> dict[str, dict[str, Any]]:
    """Price and popularity of the slates' items as known before ``since``.

    A price that is only known because the item sold in the fitted weeks would tell the response.
    """
    table = Catalog.from_log(log, until=since).table
    wanted = pa.array(sorted(item_ids), pa.string())
    table = table.filter(pc.is_in(table["item_id"], value_set=wanted))
    return {
        row["item_id"]: {
            "price": row["price"],
            "popularity": float(row["popularity"] or 0.0),
        }
        for row in table.select(["item_id", "price", "popularity"]).to_pylist()
    }


def _slate(
    slate: dict[str, Any],
    catalog: Catalog,
    before: dict[str, dict[str, Any]],
    people: dict[str, Persona],
    locale: str,
) -> RealSlate:
    item_ids = slate["item_ids"]
    unknown = {"price": None, "popularity": 0.0}
    return RealSlate(
        persona=people.get(slate["user_id"])
        or Persona(persona_id=slate["user_id"] or "stranger", locale=locale),
        query=slate["query"],
        item_ids=tuple(item_ids),
        rows=[
            {**row, **before.get(item_id, unknown)}
            for item_id, row in zip(item_ids, _rows(catalog, item_ids), strict=True)
        ],
        positions=tuple(float("nan") if p is None else float(p) for p in slate["positions"]),
        responses=tuple(slate["responses"]),
        sample_rates=tuple(slate["sample_rates"]),
    )


def _describe(
    histories: pa.Table, demographics: pa.Table | None, slates: list[dict[str, Any]], locale: str
) -> dict[str, Persona]:
    wanted = pa.array({slate["user_id"] for slate in slates}, pa.string())
    histories = histories.filter(pc.is_in(histories["user_id"], value_set=wanted))
    if demographics is not None:
        demographics = demographics.filter(pc.is_in(demographics["user_id"], value_set=wanted))
    if histories.num_rows:
        described = describe_users(histories, demographics, locale=locale)
        return {persona.persona_id: persona for persona in described}
    return {
        row["user_id"]: Persona(
            persona_id=row["user_id"],
            locale=locale,
            demographics={
                name: str(value) for name, value in row.items() if name != "user_id" and value
            },
        )
        for row in (demographics.to_pylist() if demographics is not None else [])
    }


def _rows(catalog: Catalog, item_ids: list[str]) -> list[dict[str, Any]]:
    """Rows of the catalogue; of an item that it lacks, the id is all there is to read."""
    known = catalog.rows([item_id for item_id in item_ids if item_id in catalog]).to_pylist()
    rows = {row["item_id"]: row for row in known}
    return [rows.get(item_id, {"item_id": item_id, "text": item_id}) for item_id in item_ids]
