"""Scoring real slates with the engine, so that the click curve is fitted on real responses."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from footfall.personas.fit import describe_users
from footfall.personas.persona import Persona
from footfall.progress import track
from footfall.simulator.affinity import affinities
from footfall.simulator.behaviour import Behaviour, centred, popularity_deviation
from footfall.simulator.behaviour_fit import FitData, fit_behaviour
from footfall.simulator.catalog import Catalog, utc_moment
from footfall.simulator.engines.protocol import ChoiceAnswer, ChoiceRequest, Engine, ask
from footfall.simulator.histories import read_demographics, read_histories
from footfall.simulator.log import Log
from footfall.simulator.prompts import PromptBook
from footfall.simulator.shopper import log_odds

__all__ = ["calibrate", "read_slates"]


def read_slates(
    log: Log,
    *,
    count: int,
    since: datetime | None = None,
    until: datetime | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Up to ``count`` real slates from ``since`` to ``until``, chosen by a seeded hash of their id.

    Each has ``user_id``, ``query`` and, as lists in one order, ``item_ids``, ``positions`` and
    ``responses`` (clicked where the log has clicks, purchased otherwise).
    """
    slates: list[dict[str, Any]] = log.query(
        """
        WITH clicks AS (
            SELECT count(*) FILTER (clicked) > 0 AS recorded FROM impressions
            WHERE origin = 'real' AND ($until IS NULL OR shown_at < $until)
        ), chosen AS (
            SELECT search_id, session_id, query FROM searches
            WHERE origin = 'real' AND ($until IS NULL OR searched_at < $until)
              AND ($since IS NULL OR searched_at >= $since)
            ORDER BY md5(search_id || $seed), search_id LIMIT $count
        )
        SELECT user_id, query, list(item_id ORDER BY item_id) AS item_ids,
               list(position ORDER BY item_id) AS positions,
               list(response ORDER BY item_id) AS responses
        FROM (
            SELECT chosen.search_id, sessions.user_id, chosen.query, item_id, position,
                   CASE WHEN recorded THEN clicked ELSE purchased END AS response
            FROM chosen JOIN sessions USING (session_id) JOIN impressions USING (search_id)
            CROSS JOIN clicks
        )
        WHERE response IS NOT NULL
        GROUP BY search_id, user_id, query ORDER BY search_id
        """,
        {
            "since": utc_moment(since),
            "until": utc_moment(until),
            "seed": str(seed),
            "count": count,
        },
    ).to_pylist()
    return slates


def calibrate(
    log: Log,
    catalog: Catalog,
    engine: Engine,
    prompts: PromptBook,
    *,
    until: datetime | None = None,
    scored_slates: int = 40,
    slates: int = 2000,
    page_size: int = 10,
    weeks: float = 8.0,
    seed: int = 0,
) -> Behaviour:
    """Fit the behaviour on ``slates`` real slates, of which the engine scores ``scored_slates``.

    The slates are those of the last ``weeks`` before ``until``; shoppers and popularity are
    described by the log before those weeks, so that no response is among its own causes. Without
    ``until``, or where nothing lies before those weeks, shoppers are known by their demographics
    only and popularity is not fitted.

    Raises
    ------
    NoResponseError
        If the log records neither clicks nor purchases before ``until``.
    """
    count = max(slates, scored_slates)
    since = None if until is None else until - timedelta(weeks=weeks)
    histories = read_histories(log, until=since)
    chosen = read_slates(log, count=count, since=since, until=until, seed=seed)
    known = since is not None and histories.num_rows > 0 and bool(chosen)
    if not known:
        histories = histories.slice(0, 0)
        chosen = read_slates(log, count=count, until=until, seed=seed)
    popularity = _popularity(Catalog.from_log(log, until=since)) if known else {}
    people = _describe(histories, read_demographics(log), chosen)
    scores = _score(chosen[:scored_slates], people, catalog, engine, prompts)
    columns: dict[str, list[float]] = {
        name: [] for name in ("response", "position", "preference", "affinity", "popularity")
    }
    for index, slate in enumerate(chosen):
        shown = _rows(catalog, slate["item_ids"])
        persona = people.get(slate["user_id"]) or _stranger(slate["user_id"])
        affinity = affinities(
            persona, [row.get("category") for row in shown], [row.get("price") for row in shown]
        )
        preference = scores.get(index, np.zeros(len(shown)))
        columns["response"] += [float(value) for value in slate["responses"]]
        columns["position"] += [
            float("nan") if value is None else float(value) for value in slate["positions"]
        ]
        columns["preference"] += list(centred(np.asarray(preference, dtype=np.float64)))
        columns["affinity"] += list(centred(affinity))
        counts = np.asarray([popularity.get(item_id, 0.0) for item_id in slate["item_ids"]])
        columns["popularity"] += list(popularity_deviation(counts))
    data = FitData(**{name: np.asarray(values) for name, values in columns.items()})
    return fit_behaviour(log, data, until=until, page_size=page_size)


def _popularity(catalog: Catalog) -> dict[str, float]:
    table = catalog.table
    known = table.filter(pc.greater(table["popularity"], 0))
    return dict(zip(known["item_id"].to_pylist(), known["popularity"].to_pylist(), strict=True))


def _describe(
    histories: pa.Table, demographics: pa.Table | None, slates: list[dict[str, Any]]
) -> dict[str, Persona]:
    wanted = pa.array({slate["user_id"] for slate in slates}, pa.string())
    histories = histories.filter(pc.is_in(histories["user_id"], value_set=wanted))
    if demographics is not None:
        demographics = demographics.filter(pc.is_in(demographics["user_id"], value_set=wanted))
    if histories.num_rows:
        described = describe_users(histories, demographics)
        return {persona.persona_id: persona for persona in described}
    return {
        row["user_id"]: Persona(
            persona_id=row["user_id"],
            demographics={
                name: str(value) for name, value in row.items() if name != "user_id" and value
            },
        )
        for row in (demographics.to_pylist() if demographics is not None else [])
    }


def _stranger(user_id: str) -> Persona:
    return Persona(persona_id=user_id or "stranger")


def _score(
    slates: list[dict[str, Any]],
    people: dict[str, Persona],
    catalog: Catalog,
    engine: Engine,
    prompts: PromptBook,
) -> dict[int, np.ndarray[Any, np.dtype[np.float64]]]:
    """The engine's log-odds by slate index; not-a-number where an answer was unusable."""
    scores: dict[int, np.ndarray[Any, np.dtype[np.float64]]] = {}
    with track("Calibrating on real slates", total=len(slates)) as progress:
        for start in range(0, len(slates), 8):
            block = range(start, min(start + 8, len(slates)))
            requests, sizes = [], []
            for index in block:
                slate = slates[index]
                rows = _rows(catalog, slate["item_ids"])
                texts = [row["text"] for row in rows]
                persona = people.get(slate["user_id"]) or _stranger(slate["user_id"])
                questions, options = prompts.choices(persona, slate["query"], texts)
                requests += [ChoiceRequest(question, options) for question in questions]
                sizes.append(len(questions))
            answers = ask(engine, requests)
            values = [
                log_odds(answer)
                if isinstance(answer, ChoiceAnswer) and answer.usable
                else float("nan")
                for answer in answers
            ]
            scores |= dict(zip(block, np.split(values, np.cumsum(sizes)[:-1]), strict=True))
            progress.advance(len(block))
    return scores


def _rows(catalog: Catalog, item_ids: list[str]) -> list[dict[str, Any]]:
    """Rows of the catalogue; of an item that it lacks, the id is all there is to read."""
    known = catalog.rows([item_id for item_id in item_ids if item_id in catalog]).to_pylist()
    rows = {row["item_id"]: row for row in known}
    return [rows.get(item_id, {"item_id": item_id, "text": item_id}) for item_id in item_ids]
